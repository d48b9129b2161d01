import { describe, expect, it } from 'vitest';
import { isSafeHost, isSafeUser } from '../../src/ssh/safe-names.js';

describe('isSafeHost', () => {
  it.each(['login23-1', 'login.hpc.example.org', '10.0.0.1', 'fe80::1%eth0', 'my_host'])('takes %s', (name) => {
    expect(isSafeHost(name)).toBe(true);
  });

  it.each(['', '-oProxyCommand=x', '$(x)', '`x`', 'a b', 'a;b', 'a|b', 'a&b', "a'b", 'a"b', 'a\\b', 'a\nb', 'a>b'])(
    'refuses %j',
    (name) => {
      expect(isSafeHost(name)).toBe(false);
    },
  );
});

describe('isSafeUser', () => {
  it.each(['ada', 'ab123456', 'ada@EXAMPLE.ORG', 'DOMAIN\\ada', 'ada.l'])('takes %s', (name) => {
    expect(isSafeUser(name)).toBe(true);
  });

  it.each(['', '-l', 'a;b', '$(x)', '`x`', 'a -o', 'a\\', 'a\u0007'])('refuses %j', (name) => {
    expect(isSafeUser(name)).toBe(false);
  });
});
