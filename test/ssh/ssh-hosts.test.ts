import { describe, expect, it } from 'vitest';
import { join } from 'node:path';
import { listSshHosts, parseSshHosts } from '../../src/ssh/ssh-hosts.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

describe('parseSshHosts', () => {
  it.each([
    [
      'names and their HostName',
      'Host a b\n  HostName x.org\nHost c\n',
      [
        ['a', 'x.org'],
        ['b', 'x.org'],
        ['c', undefined],
      ],
    ],
    ['no patterns', 'Host * !d e*\n  HostName x.org\nHost f\n', [['f', undefined]]],
    ['upper case, an equals sign, quotes, CR', 'HOST="my host"\r\n hostname = x.org \r\n', [['my host', 'x.org']]],
    ['the first HostName only, and %h', 'Host g\n HostName %h.x.org\n HostName y.org\n', [['g', 'g.x.org']]],
    ['nothing of a Match block', 'Host h\nMatch all\n HostName z.org\n', [['h', undefined]]],
    ['no comments', '# Host i\nHost j # k\n', [['j', undefined]]],
  ])('%s', (_, text, expected) => {
    const hosts = parseSshHosts(text).flatMap((entry) => ('alias' in entry ? [[entry.alias, entry.hostName]] : []));
    expect(hosts).toEqual(expected);
  });
});

describe('listSshHosts', () => {
  it('follows Include as ssh does, each host once, and survives a circle and what is not there', async () => {
    const home = await makeTemporaryDirectory();
    await writeTree(home, {
      '.ssh/config': 'Include conf.d/*.conf missing ~/more\nHost last first\n',
      '.ssh/conf.d/1.conf': 'Host first\n HostName one.org\nInclude config\n',
      '.ssh/conf.d/2.conf': 'Host second\n',
      '.ssh/conf.d/3.txt': 'Host never\n',
      more: 'Host third\n',
    });
    expect((await listSshHosts(home)).map(({ alias }) => alias)).toEqual(['first', 'second', 'third', 'last']);
    expect(await listSshHosts(join(home, 'nobody'))).toEqual([]);
  });
});
