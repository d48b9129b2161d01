import { execFileSync } from 'node:child_process';
import { chmod } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseJump, parseSshConfig, resolveHost, resolveRoute, settingsFrom } from '../../src/ssh/ssh-config.js';
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
    expect(settings).toMatchObject({
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

/** An environment whose `ssh` reads this configuration in place of the user's. */
async function withConfig(ssh: string, config: string): Promise<NodeJS.ProcessEnv> {
  const directory = await makeTemporaryDirectory();
  await writeTree(directory, { config, ssh: `#!/bin/sh\nexec ${ssh} -F ${join(directory, 'config')} "$@"\n` });
  await chmod(join(directory, 'ssh'), 0o755);
  return { PATH: `${directory}:${process.env.PATH ?? ''}` };
}

describe("the user's configuration", () => {
  it('means to hpcrun what it means to ssh', async (context) => {
    const ssh = findProgram('ssh');
    if (ssh === undefined) return context.skip('ssh is not installed');
    const env = await withConfig(
      ssh,
      `Host claix
  HostName login.example.org
  User ab123456
  Port 2222
  AddressFamily inet
  ConnectTimeout 40
  ServerAliveInterval 20
  ServerAliveCountMax 5
  IdentityFile ~/.ssh/%r@%h-%n
  IdentityFile \${KEYS}/other
  IdentitiesOnly yes
  IdentityAgent $MY_AGENT
  CertificateFile /certificates/claix-cert.pub
  PreferredAuthentications gssapi-with-mic,password,publickey,keyboard-interactive
  KbdInteractiveAuthentication no
  NumberOfPasswordPrompts 1
  UserKnownHostsFile /hosts/one /hosts/%k
  GlobalKnownHostsFile none
  HostKeyAlias cluster
  HashKnownHosts yes
  StrictHostKeyChecking accept-new
  CheckHostIP yes
  RevokedHostKeys /hosts/revoked
  LogLevel ERROR
Match host login.example.org user ab123456
  ProxyJump me@gate.example.org:23,second
`,
    );
    const settings = await resolveHost({ host: 'claix' }, { ...env, KEYS: '/keys', MY_AGENT: '/run/agent' });
    expect(settings).toEqual({
      alias: 'claix',
      host: 'login.example.org',
      port: 2222,
      user: 'ab123456',
      addressFamily: 4,
      connectTimeoutMs: 40_000,
      keepalive: { intervalMs: 20_000, countMax: 5 },
      identityFiles: [join(homedir(), '.ssh/ab123456@login.example.org-claix'), '/keys/other'],
      identitiesOnly: true,
      certificateFiles: ['/certificates/claix-cert.pub'],
      agentSocket: '/run/agent',
      authenticationOrder: ['password', 'publickey'],
      passwordPrompts: 1,
      allowsGssapi: false,
      showsBanner: false,
      knownHostsFiles: ['/hosts/one', '/hosts/cluster'],
      hostKeyAlias: 'cluster',
      hashKnownHosts: true,
      unknownHostKeys: 'accept',
      checkHostAddress: true,
      revokedHostKeysFiles: ['/hosts/revoked'],
      jumps: ['me@gate.example.org:23', 'second'],
    });
  });

  it.each([
    ['yes', 'refuse'],
    ['ask', 'ask'],
    ['accept-new', 'accept'],
    ['no', 'accept'],
  ])('StrictHostKeyChecking %s: %s', async (value, expected) => {
    const ssh = findProgram('ssh');
    if (ssh === undefined) throw new Error('ssh is not installed');
    const env = await withConfig(ssh, `StrictHostKeyChecking ${value}\n`);
    expect((await resolveHost({ host: 'h' }, env)).unknownHostKeys).toBe(expected);
  });

  it.each([
    [undefined, '/a'],
    ['SSH_AUTH_SOCK', '/a'],
    ['none', undefined],
    ['$OTHER', '/b'],
    ['/run/%r', '/run/ada'],
  ])('IdentityAgent %s: %s', (value, expected) => {
    const values = new Map(value === undefined ? [] : [['identityagent', [value]]]);
    const env = { SSH_AUTH_SOCK: '/a', OTHER: '/b' };
    expect(settingsFrom(values, { host: 'h', user: 'ada' }, env).agentSocket).toBe(expected);
  });

  it("yields to hpcrun's own order of ways to log in", () => {
    const values = new Map([['preferredauthentications', ['password']]]);
    const order = settingsFrom(values, { host: 'h', authenticationOrder: ['publickey', 'password'] }, {});
    expect(order.authenticationOrder).toEqual(['publickey', 'password']);
  });
});

describe('resolveRoute', () => {
  const route = async (config: string, host: string) => {
    const ssh = findProgram('ssh');
    if (ssh === undefined) throw new Error('ssh is not installed');
    const hosts = await resolveRoute({ host }, await withConfig(ssh, config));
    return hosts.map(
      ({ user, host: name, port, identityFiles }) => `${user}@${name}:${port} ${identityFiles[0] ?? ''}`,
    );
  };
  const common = 'Host *\n  User ada\n  IdentityFile /k\n';

  it('gives each host of the way its own settings', async () => {
    const config = `Host two\n  HostName 2.example.org\n  User bob\n  IdentityFile /two\n
Host claix\n  ProxyJump one:23,two\n${common}`;
    expect(await route(config, 'claix')).toEqual(['ada@one:23 /k', 'bob@2.example.org:22 /two', 'ada@claix:22 /k']);
  });

  it('follows the jumps of the first jump host, but not those of the next ones', async () => {
    const config = `Host one\n  ProxyJump zero\nHost two\n  ProxyJump never\nHost claix\n  ProxyJump one,two\n${common}`;
    expect(await route(config, 'claix')).toEqual(['zero', 'one', 'two', 'claix'].map((host) => `ada@${host}:22 /k`));
  });

  it('refuses to go round in a circle', async () => {
    const config = `Host a\n  ProxyJump b\nHost b\n  ProxyJump c\nHost c\n  ProxyJump a\n${common}`;
    expect((await failureOf(() => route(config, 'a'))).message).toContain('circle');
  });
});
