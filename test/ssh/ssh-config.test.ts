import { execFileSync } from 'node:child_process';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseJump, parseSshConfig, resolveHost } from '../../src/ssh/ssh-config.js';
import { failureOf } from '../support/failure.js';
import { findProgram } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

describe('parseSshConfig', () => {
  it('reads what ssh -G prints', async (context) => {
    const ssh = findProgram('ssh');
    if (ssh === undefined) return context.skip('ssh is not installed');
    const directory = await makeTemporaryDirectory();
    await writeTree(directory, {
      config: `Host claix
  HostName login23-1.hpc.example.org
  User ab123456
  Port 2222
  IdentityFile "/keys/my cluster key"
  IdentityFile /keys/other
  ProxyJump me@gate.example.org:23,second
`,
    });
    const text = execFileSync(ssh, ['-G', '-F', join(directory, 'config'), 'claix'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const values = parseSshConfig(text);
    expect(values.get('hostname')).toEqual(['login23-1.hpc.example.org']);
    expect(values.get('user')).toEqual(['ab123456']);
    expect(values.get('port')).toEqual(['2222']);
    expect(values.get('identityfile')).toEqual(['/keys/my cluster key', '/keys/other']);
    expect(values.get('proxyjump')?.[0]?.split(',').map(parseJump)).toEqual([
      { user: 'me', host: 'gate.example.org', port: 23 },
      { user: undefined, host: 'second', port: undefined },
    ]);
  });

  it('keeps every value of a key, in order, with its blanks', () => {
    const values = parseSshConfig('IdentityFile ~/a b\nuser ada\nidentityfile /c\n\nnovalue\n');
    expect([...values]).toEqual([
      ['identityfile', ['~/a b', '/c']],
      ['user', ['ada']],
    ]);
  });
});

describe('parseJump', () => {
  it.each<[string, string | undefined, string, number | undefined]>([
    ['gate', undefined, 'gate', undefined],
    ['gate:2222', undefined, 'gate', 2222],
    ['ada@gate', 'ada', 'gate', undefined],
    ['ada@gate:2222', 'ada', 'gate', 2222],
    ['ada@uni.edu@gate', 'ada@uni.edu', 'gate', undefined],
    ['[::1]', undefined, '::1', undefined],
    ['ada@[2001:db8::1]:2222', 'ada', '2001:db8::1', 2222],
    ['ssh://ada@gate:2222', 'ada', 'gate', 2222],
  ])('reads %s', (text, user, host, port) => {
    expect(parseJump(text)).toEqual({ user, host, port });
  });

  it.each(['', 'ada@', 'ada@:22', '[]:22', ':22', 'gate:', 'gate:ssh', '::1', 'a:b:22'])('refuses %j', async (text) => {
    const error = await failureOf(() => parseJump(text));
    expect(error.code).toBe('CONNECTION_FAILED');
    expect(error.message).toContain(`"${text}"`);
  });
});

describe('resolveHost', () => {
  it("leaves the user's own configuration and agent out of an isolated host", async () => {
    const env = { SSH_AUTH_SOCK: '/tmp/agent' };
    const settings = await resolveHost(
      { host: '127.0.0.1', port: 2200, user: 'ada', identityFile: '/k', knownHostsFile: '/h', isolated: true },
      env,
    );
    expect(settings).toEqual({
      alias: '127.0.0.1',
      host: '127.0.0.1',
      port: 2200,
      user: 'ada',
      identityFiles: ['/k'],
      identitiesOnly: true,
      agentSocket: undefined,
      knownHostsFiles: ['/h'],
      jumps: [],
    });
    expect(await resolveHost({ host: 'h', isolated: true }, env)).toMatchObject({
      port: 22,
      user: userInfo().username,
      identityFiles: [],
      knownHostsFiles: [],
    });
  });

  it("prefers hpcrun's own values to those of ssh", async () => {
    const settings = await resolveHost(
      {
        host: 'hpcrun-test.invalid',
        port: 2200,
        user: 'ada',
        identityFile: '/keys/%r@%h',
        knownHostsFile: '/hosts-%p',
      },
      {},
    );
    expect(settings).toMatchObject({
      alias: 'hpcrun-test.invalid',
      port: 2200,
      user: 'ada',
      identityFiles: [`/keys/ada@${settings.host}`],
      knownHostsFiles: ['/hosts-2200'],
    });
  });
});
