import { describe, expect, it } from 'vitest';
import { renderGroup, renderPasswd, resolveIdentity } from '../../src/run/local-accounts.js';

const root = { uid: 0, gid: 0, name: 'root' };

describe('resolveIdentity', () => {
  it.each([
    ['the caller', { uid: 501, gid: 20, name: 'mia' }, {}, { uid: 501, gid: 20, name: 'mia' }],
    ['user 1000 for root', root, {}, { uid: 1000, gid: 1000, name: 'user' }],
    [
      'who has called sudo',
      root,
      { SUDO_UID: '1001', SUDO_GID: '100', SUDO_USER: 'mia' },
      { uid: 1001, gid: 100, name: 'mia' },
    ],
    ['user 1000 for root that root has called', root, { SUDO_UID: '0', SUDO_GID: '0' }, { uid: 1000, gid: 1000 }],
    ['user 1000 where there are no numbers', { uid: undefined, gid: undefined, name: 'Mia' }, {}, { uid: 1000 }],
    ['a name that can be a directory', { uid: 5, gid: 5, name: '../DOM\\mia b' }, {}, { name: 'DOM-mia-b' }],
  ])('is %s', (_, caller, env, expected) => {
    expect(resolveIdentity(caller, env, false)).toMatchObject(expected);
  });

  it('is root, who is the caller, in an engine without root', () => {
    expect(resolveIdentity({ uid: 1000, gid: 1000, name: 'mia' }, {}, true)).toEqual({ uid: 0, gid: 0, name: 'mia' });
  });
});

describe('renderPasswd and renderGroup', () => {
  const mia = { uid: 1000, gid: 100, name: 'mia' };

  it('add the user to what the image has', () => {
    expect(renderPasswd('root:x:0:0:root:/root:/bin/bash', mia)).toBe(
      'root:x:0:0:root:/root:/bin/bash\nmia:x:1000:100::/home/mia:/bin/sh\n',
    );
    expect(renderGroup('root:x:0:\n', mia)).toBe('root:x:0:\nmia:x:100:\n');
  });

  it('make accounts where the image has none', () => {
    expect(renderPasswd('', mia)).toBe('mia:x:1000:100::/home/mia:/bin/sh\n');
    expect(renderGroup('', mia)).toBe('mia:x:100:\n');
  });

  it('keep the name that the image has for the number, with the private home directory', () => {
    expect(renderPasswd('aiguru:x:1000:1000:A,B:/home/aiguru:/bin/bash\nz:x:5:5::/:\n', mia)).toBe(
      'aiguru:x:1000:1000:A,B:/home/mia:/bin/sh\nz:x:5:5::/:\n',
    );
    expect(renderGroup('users:x:100:\n', mia)).toBe('users:x:100:\n');
  });
});
