import { execa } from 'execa';
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import type { QuirkName } from '../../src/sandbox/quirks.js';
import { loginFiles } from '../../src/sandbox/means-of-login.js';
import {
  errorOf,
  farRoot,
  hpcrun,
  loginContainer,
  makePythonProject,
  onLogin,
  sandboxCluster,
  testSandboxName,
} from './lab.js';
import { oneTimeCode } from './one-time-code.js';
import { typeInto, type Reaction } from './typing.js';

const passphrase = 'battery staple';
const token = 's3cr3t-of-the-job';

let runtime = '';
let project = '';
let password = '';
let totpSecret = '';
/** Of all commands. */
const environment: Record<string, string> = {};
/** The codes that were typed. */
const codes: string[] = [];

const code: Reaction = [
  'Verification code: ',
  () => {
    const now = oneTimeCode(totpSecret);
    codes.push(now);
    return now;
  },
];
const answers: Partial<Record<QuirkName, Reaction[]>> = {
  'key-totp': [["Enter passphrase for key '", passphrase], code],
  'password-totp': [['Password: ', () => password], code],
};

beforeAll(async () => {
  runtime = await mkdtemp(join(tmpdir(), 'hpcrun-run-'));
  environment.XDG_RUNTIME_DIR = runtime;
  const sandbox = await sandboxCluster();
  const files = loginFiles(dirname(sandbox.identityFile));
  [password, totpSecret] = (await Promise.all(
    [files.password, files.totpSecret].map(async (file) => (await readFile(file, 'utf8')).trim()),
  )) as [string, string];
  const locked = join(runtime, 'locked');
  await copyFile(sandbox.identityFile, locked);
  await execa('ssh-keygen', ['-q', '-p', '-P', '', '-N', passphrase, '-f', locked]);
  const strict = { ...sandbox, identityFile: locked };
  const clusters = { strict, openssh: { ...strict, transport: 'openssh' } };
  const config = { cluster: 'strict', clusters, secrets: ['TOKEN'] };
  project = await makePythonProject({
    'hpcrun.yaml': JSON.stringify(config),
    'work.py': 'import os, time\nprint("token of", len(os.environ["TOKEN"]))\ntime.sleep(3)\n',
  });
});

afterEach(async () => {
  await command('disconnect');
  await quirk('off', 'key-totp', 'password-totp');
});

afterAll(async () => {
  await rm(runtime, { recursive: true, force: true });
});

async function quirk(state: 'on' | 'off', ...names: QuirkName[]): Promise<void> {
  await execa('docker', ['exec', loginContainer, 'quirk', state, ...names]);
}

function command(...args: string[]) {
  return hpcrun(args, { cwd: project, env: { ...environment, TOKEN: token } });
}

async function sharedState(): Promise<unknown> {
  return (await command('connect', '--status', '--json')).objects[0]?.state;
}

async function logIn(name: QuirkName): Promise<void> {
  const { exitCode, output, unasked } = await typeInto(['connect'], {
    cwd: project,
    env: environment,
    reactions: answers[name] ?? [],
  });
  expect(exitCode, output).toBe(0);
  expect(unasked).toEqual([]);
  // What is typed is not shown.
  for (const secret of [password, passphrase, ...codes]) expect(output).not.toContain(secret);
}

/** Second factors that sshd has taken, and everything that anybody has tried. */
async function countLogins(): Promise<{ accepted: number; tried: number }> {
  const log = await onLogin('cat /var/log/sshd.log', 'root');
  const count = (pattern: RegExp) => log.split('\n').filter((line) => pattern.test(line)).length;
  return {
    accepted: count(/^Accepted keyboard-interactive/),
    tried: count(/^(Accepted|Failed|Partial|Postponed|error: PAM)|authenticating user/),
  };
}

async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 400; tries += 1) {
    if (await isTrue()) return;
    await sleep(250);
  }
  throw new Error(`gave up waiting until ${what}`);
}

/** No command logs in: each says that the connection is lost, and what to do. */
async function expectLost(): Promise<void> {
  const before = await countLogins();
  for (const args of [['status'], ['logs'], ['status', '--no-input']]) {
    const lost = await command(...args, '--json');
    expect([lost.exitCode, errorOf(lost).code], lost.stderr).toEqual([5, 'CONNECTION_LOST']);
    expect(errorOf(lost).hint).toContain('hpcrun connect');
  }
  expect(await sharedState()).toBe('lost');
  expect(await countLogins()).toEqual(before);
}

describe.each<[QuirkName, string]>([
  ['key-totp', 'strict'],
  ['password-totp', 'strict'],
  ['key-totp', 'openssh'],
])('one second factor (%s, cluster %s)', (name, cluster) => {
  beforeAll(() => {
    environment.HPCRUN_CLUSTER = cluster;
  });
  afterAll(() => {
    delete environment.HPCRUN_CLUSTER;
  });

  it('serves ten commands, and no command asks for another behind its user’s back', async () => {
    await quirk('on', name);
    const before = await countLogins();
    await logIn(name);
    const submitted = await command('submit', '--json', 'work.py');
    expect(submitted.exitCode, submitted.stderr).toBe(0);
    for (const args of [['status'], ['logs', '-f'], ['wait'], ['pull-results'], ['images']]) {
      const { exitCode, stderr } = await command(...args);
      expect(exitCode, `${args.join(' ')}: ${stderr}`).toBe(0);
    }
    const parallel = await Promise.all(Array.from({ length: 4 }, () => command('status')));
    expect(parallel.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0, 0]);
    expect((await countLogins()).accepted).toBe(before.accepted + 1);

    await onLogin("pkill -u researcher -f '^sshd-session: researcher'", 'root');
    await until('the loss is noticed', async () => (await sharedState()) === 'lost');
    await expectLost();
    await logIn(name);
    expect((await command('status')).exitCode).toBe(0);
    expect((await countLogins()).accepted).toBe(before.accepted + 2);

    await command('disconnect');
    const alone = await command('status', '--json');
    expect([alone.exitCode, errorOf(alone).code], alone.stderr).toEqual([5, 'LOGIN_FAILED']);
    expect((await countLogins()).accepted).toBe(before.accepted + 2);
  });
});

describe('a network that is cut', () => {
  it('and comes back costs no second factor', async () => {
    await quirk('on', 'key-totp');
    await logIn('key-totp');
    // All that the login node sends to this machine is lost.
    const gateway = (await onLogin("ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'")).trim();
    await onLogin(`ip route add blackhole ${gateway}/32`, 'root');
    try {
      await until('the loss is noticed', async () => (await sharedState()) === 'lost');
    } finally {
      await onLogin(`ip route del blackhole ${gateway}/32`, 'root');
    }
    await expectLost();
    await logIn('key-totp');
    expect((await command('status')).exitCode).toBe(0);
  });
});

describe('secrets', () => {
  /** Command lines of every process there is, on this machine and on the nodes. */
  async function readCommandLines(): Promise<string> {
    const script = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '";
    const nodes = ['login', 'c1', 'c2'].map((node) => ['docker', 'exec', `${testSandboxName}-${node}`]);
    const texts = await Promise.all(
      [[], ...nodes].map(async (prefix) => {
        return (await execa('env', [...prefix, 'sh', '-c', script], { reject: false })).stdout;
      }),
    );
    return texts.join('\n');
  }

  /** Files below these directories that hold one of the words. */
  async function findIn(words: string[], directories: string[]): Promise<string[]> {
    const patterns = words.flatMap((word) => ['-e', word]);
    const { stdout } = await execa('grep', ['-rlaF', ...patterns, ...directories], { reject: false });
    return stdout.split('\n').filter((path) => path !== '');
  }

  it('are in no log, record, process list or error', async () => {
    const { XDG_STATE_HOME = '', XDG_CACHE_HOME = '', XDG_CONFIG_HOME = '' } = inject('labEnvironment');
    const watched = { lines: '', isOver: false };
    const watching = (async () => {
      while (!watched.isOver) watched.lines += await readCommandLines();
    })();
    const said: string[] = [];
    try {
      for (const name of ['key-totp', 'password-totp'] as const) {
        await quirk('on', name);
        await logIn(name);
        for (const args of [
          ['submit', '--json', 'work.py'],
          ['logs', '-f'],
          ['status', '--json'],
        ]) {
          const { stdout, stderr } = await command(...args);
          said.push(stdout, stderr);
        }
        await command('disconnect');
        const wrong: Reaction = [code[0], '271828'];
        const [first = code] = answers[name] ?? [];
        const rounds = name === 'key-totp' ? [first, wrong, wrong, wrong] : [1, 2, 3].flatMap(() => [first, wrong]);
        const refused = await typeInto(['connect', '--json'], {
          cwd: project,
          env: environment,
          reactions: rounds,
        });
        expect(refused).toMatchObject({ exitCode: 5, unasked: [] });
        said.push(refused.output);
        await quirk('off', name);
      }
    } finally {
      watched.isOver = true;
      await watching;
    }
    const secrets = [password, passphrase, token, '271828', totpSecret, ...codes];
    expect(watched.lines).toContain('connection-holder.js');
    for (const secret of secrets) {
      // Six digits may be part of anything.
      const pattern = /^\d{6}$/.test(secret) ? new RegExp(`(?<!\\d)${secret}(?!\\d)`) : secret;
      expect(watched.lines).not.toMatch(pattern);
      expect(said.join('\n')).not.toMatch(pattern);
    }
    expect(said.join('\n')).toContain(`token of ${token.length}`);
    const words = [password, passphrase, token];
    const own = loginFiles(dirname((await sandboxCluster()).identityFile));
    const local = await findIn(
      words,
      [XDG_STATE_HOME, XDG_CACHE_HOME, XDG_CONFIG_HOME, runtime, project].filter((path) => path !== ''),
    );
    // The sandbox shows its own password to whoever wants to try it.
    expect(local).toEqual([own.password]);
    const remote = await onLogin(
      `grep -rlaF ${words.map((word) => `-e '${word}'`).join(' ')} ${farRoot} /var/log /var/spool/slurmctld /tmp || true`,
      'root',
    );
    const holders = remote.split('\n').filter((path) => path !== '');
    // Two runs of this test, and what others have left.
    expect(holders.length).toBeGreaterThanOrEqual(2);
    for (const path of holders) expect(path).toMatch(/\/runs\/[^/]+\/env$/);
  });
});
