import { describe, expect, it } from 'vitest';
import { renderMasterArguments, renderSharedArguments } from '../../src/ssh/openssh-arguments.js';
import { quoteAll } from '../../src/ssh/quote.js';
import { runShell } from '../support/shell.js';

const keepalive = { intervalMs: 8000, lostAfter: 2 };
const jumped = {
  host: 'login',
  user: 'ada',
  identityFile: '/keys/a b',
  knownHostsFile: '/known "hosts"',
  isolated: true,
  proxyJump: 'ada@one,ada@two:2222',
};

/** What OpenSSH itself makes of the arguments. */
function resolve(args: string[]): Map<string, string> {
  const { stdout, stderr, status } = runShell('/bin/sh', `ssh -G ${quoteAll(args)}`);
  expect(status, stderr).toBe(0);
  return new Map(stdout.split('\n').map((line) => [line.split(' ', 1)[0] ?? '', line.slice(line.indexOf(' ') + 1)]));
}

describe('renderMasterArguments', () => {
  it('always checks host keys and takes nothing of the user’s for an isolated host', () => {
    const values = resolve(renderMasterArguments({ ...jumped, proxyJump: undefined }, '/tmp/100%/master', keepalive));
    expect(Object.fromEntries(values)).toMatchObject({
      host: 'login',
      user: 'ada',
      stricthostkeychecking: 'ask',
      identityfile: '/keys/a b',
      identitiesonly: 'yes',
      identityagent: 'none',
      userknownhostsfile: '/known "hosts"',
      controlmaster: 'true',
      controlpersist: 'no',
      controlpath: '/tmp/100%/master',
      serveraliveinterval: '8',
      serveralivecountmax: '2',
      clearallforwardings: 'yes',
    });
  });

  it('asks a server for nothing that takes a person where nobody is there', () => {
    const batchMode = (unattended?: boolean) =>
      resolve(renderMasterArguments({ host: 'login' }, '/tmp/m', keepalive, { unattended })).get('batchmode');
    expect([batchMode(), batchMode(true)]).toEqual(['no', 'yes']);
  });

  it.each([
    ['ask', 'ask'],
    ['accept', 'accept-new'],
    ['refuse', 'true'],
  ] as const)('is told what becomes of unknown host keys: %s', (unknownHostKeys, expected) => {
    const args = renderMasterArguments({ host: 'login' }, '/tmp/m', keepalive, { unknownHostKeys });
    expect(resolve(args).get('stricthostkeychecking')).toBe(expected);
  });

  it('goes through jump hosts with the target’s own key and known hosts', () => {
    const proxyCommand = resolve(renderMasterArguments(jumped, '/tmp/m', keepalive)).get('proxycommand') ?? '';
    expect(proxyCommand).toContain(`'IdentityFile="/keys/a b"'`);
    expect(proxyCommand).toMatch(/-W '\[login\]:22'.* -- two$/);
    expect(proxyCommand).toMatch(/-W .*\[two\]:2222.* -- one/);
  });

  it('leaves the user’s configuration in force elsewhere', () => {
    const args = renderMasterArguments({ host: 'login', proxyJump: 'gate' }, '/tmp/m', keepalive);
    expect(args).not.toContain('-F');
    expect(args).toContain('ProxyJump=gate');
    expect(args.slice(-2)).toEqual(['--', 'login']);
  });
});

describe('renderSharedArguments', () => {
  it('never logs in by itself', () => {
    const values = resolve([...renderSharedArguments('/tmp/m', '/dev/null'), 'x']);
    expect(values.get('proxycommand')).toBe('exit 1');
    expect(values.get('controlmaster')).toBe('false');
  });
});
