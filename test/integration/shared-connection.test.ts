import { execa } from 'execa';
import { createHash, randomBytes } from 'node:crypto';
import { chown, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { packageDirectory, packageVersion } from '../../src/package-directory.js';
import type { Connection } from '../../src/ssh/connection.js';
import type { Prompter } from '../../src/ssh/prompter.js';
import { findSharedConnection, logInThrough, reachHolder, readSharedStatus } from '../../src/ssh/shared-connection.js';
import type { HolderSettings } from '../../src/ssh/sharing/messages.js';
import { placeIn, type SocketPlace } from '../../src/ssh/sharing/socket-place.js';
import { clearPlace, startHolder } from '../../src/ssh/sharing/start-holder.js';
import { binPath, errorOf, hpcrun, makeProject, onLogin, sandboxCluster, startHpcrun } from './lab.js';
import { onTerminal } from './on-terminal.js';

const signal = new AbortController().signal;
let runtime = '';
let project = '';

/** Short, since a socket's path has to be. */
beforeAll(async () => {
  runtime = await mkdtemp(join(tmpdir(), 'hpcrun-run-'));
  project = await makeProject({ 'hpcrun.yaml': 'cluster: sandbox\n' });
});

afterEach(async () => {
  await command('disconnect');
});

afterAll(async () => {
  await rm(runtime, { recursive: true, force: true });
});

function command(...args: string[]) {
  return hpcrun(args, { cwd: project, env: { XDG_RUNTIME_DIR: runtime } });
}

async function connect(...args: string[]): Promise<Record<string, unknown>> {
  const { objects, stderr } = await command('connect', '--json', ...args);
  expect(objects, stderr).toHaveLength(1);
  return objects[0] ?? {};
}

async function sharedState(): Promise<unknown> {
  return (await command('connect', '--status', '--json')).objects[0]?.state;
}

/** The only place there is. */
async function findPlace(): Promise<SocketPlace> {
  const [name = ''] = await readdir(join(runtime, 'hpcrun'));
  return placeIn(join(runtime, 'hpcrun', name));
}

async function share(): Promise<Connection> {
  const connection = await findSharedConnection(await findPlace(), packageVersion());
  if (!connection) throw new Error('there is no shared connection');
  return connection;
}

/** How many logins sshd has let in so far. */
async function countLogins(): Promise<number> {
  return Number(await onLogin('grep -c Accepted /var/log/sshd.log || true', 'root'));
}

async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 400; tries += 1) {
    if (await isTrue()) return;
    await sleep(250);
  }
  throw new Error(`gave up waiting until ${what}`);
}

/** Ends what sshd runs for the user, as an administrator would. */
async function killSessions(): Promise<void> {
  await onLogin("pkill -u researcher -f '^sshd-session: researcher'", 'root');
}

describe('hpcrun connect', () => {
  it('is one login for ten commands, some of them at once', async () => {
    const before = await countLogins();
    expect(await connect()).toMatchObject({ type: 'connection', cluster: 'sandbox', state: 'connected', users: 0 });
    for (let round = 0; round < 4; round += 1) expect((await command('status')).exitCode).toBe(0);
    const parallel = await Promise.all(Array.from({ length: 6 }, () => command('status')));
    expect(parallel.map(({ exitCode }) => exitCode)).toEqual(Array.from({ length: 6 }, () => 0));
    expect(parallel[0]?.stderr).toContain('sandbox: connected as researcher@127.0.0.1:');
    expect(await countLogins()).toBe(before + 1);

    const again = await command('connect');
    expect(again.stderr).toContain('Already connected');
    expect((await command('disconnect')).exitCode).toBe(0);
    expect((await command('connect', '--status')).exitCode).toBe(8);
    expect((await command('status')).exitCode).toBe(0);
    expect(await countLogins()).toBe(before + 2);
  });

  it.each(['ssh2', 'openssh'])('has terminals, and errors as they come, over %s', async (transport) => {
    const { port, identityFile, knownHostsFile } = await sandboxCluster();
    const cluster = { host: '127.0.0.1', user: 'researcher', port, identityFile, knownHostsFile, transport };
    const other = await makeProject({
      'hpcrun.yaml': `cluster: other\nclusters: ${JSON.stringify({ other: cluster })}\n`,
    });
    const options = { cwd: other, env: { XDG_RUNTIME_DIR: runtime } };
    expect((await hpcrun(['connect'], options)).exitCode).toBe(0);
    const connection = await share();
    const heard: string[] = [];
    const { exitCode, stderr } = await connection.stream('echo one >&2; echo two; echo three >&2; exit 3', {
      signal,
      onStdout: (chunk) => {
        heard.push(chunk.toString());
      },
      onStderr: (chunk) => {
        heard.push(`! ${chunk.toString()}`);
      },
    });
    expect({ exitCode, stderr, out: heard.filter((text) => !text.startsWith('!')).join('') }).toEqual({
      exitCode: 3,
      stderr: '',
      out: 'two\n',
    });
    expect(
      heard
        .filter((text) => text.startsWith('!'))
        .join('')
        .replaceAll('! ', ''),
    ).toBe('one\nthree\n');
    expect(await onTerminal(connection)).toEqual({
      heard: 'TERM=vt100\nerr\n40 100\nready\n11 33\nlast\n',
      exitCode: 5,
    });
    connection.close();
    expect((await hpcrun(['disconnect'], options)).exitCode).toBe(0);
  });

  it('called twice at once makes one connection', async () => {
    const before = await countLogins();
    const [one, other] = await Promise.all([connect(), connect()]);
    expect(one.pid).toBe(other.pid);
    expect(await countLogins()).toBe(before + 1);
  });

  it('survives its terminal', async () => {
    const env = { ...inject('labEnvironment'), XDG_RUNTIME_DIR: runtime };
    // A terminal of its own, which hangs up when the command has ended.
    await execa('script', ['-qec', `node ${binPath} connect`, '/dev/null'], {
      cwd: project,
      env,
      stdin: 'ignore',
    });
    expect(await sharedState()).toBe('connected');
  });

  it('ends on its own when nobody uses it', async () => {
    await connect('--idle', '2s');
    await until('it has ended', async () => (await sharedState()) === 'none');
    const { stderr } = await command('connect', '--idle', 'soon');
    expect(stderr).toContain('[USAGE]');
  });

  it('ends after the time it was given', async () => {
    expect(await connect('--for', '4s')).toMatchObject({ endsAt: expect.any(String) as string });
    await until('it has ended', async () => (await sharedState()) === 'none');
  });

  it('leaves nothing that is in the way when it is killed', async () => {
    const before = await countLogins();
    const { pid } = await connect();
    process.kill(Number(pid), 'SIGKILL');
    await until('it is dead', async () => (await sharedState()) === 'none');
    expect((await command('status')).exitCode).toBe(0);
    expect(await countLogins()).toBe(before + 2);
    expect((await connect()).pid).not.toBe(pid);
    process.kill(Number((await connect()).pid), 'SIGKILL');
    await command('disconnect');
    expect(await readdir(join(runtime, 'hpcrun'))).toEqual([]);
  });

  it('is ended by disconnect even when it hangs', async () => {
    const pid = Number((await connect()).pid);
    process.kill(pid, 'SIGSTOP');
    expect((await command('disconnect', '--all')).exitCode).toBe(0);
    await until('it is dead', () => {
      try {
        process.kill(pid, 0);
        return Promise.resolve(false);
      } catch {
        return Promise.resolve(true);
      }
    });
  });
});

describe('a command on a shared connection', () => {
  it('sends and receives more than fits into any window, beside others, in little memory', async () => {
    const { pid } = await connect();
    const connection = await share();
    const block = randomBytes(1 << 20);
    const blocks = 200;
    const hash = createHash('sha256');
    for (let index = 0; index < blocks; index += 1) hash.update(block);
    const input = () => Readable.from(Array.from({ length: blocks }, () => block));
    const upload = connection.run('sha256sum', { signal, stdin: input(), timeoutMs: 150_000 });
    let received = 0;
    const download = connection.stream(`head -c ${blocks << 20} /dev/zero`, {
      signal,
      onStdout: (chunk) => {
        received += chunk.length;
      },
    });
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => connection.run(`echo ${index}`, { signal })),
    );
    expect(answers.map(({ stdout }) => Number(stdout.toString()))).toEqual(
      Array.from({ length: 20 }, (_, index) => index),
    );
    expect((await upload).stdout.toString()).toBe(`${hash.digest('hex')}  -\n`);
    await download;
    expect(received).toBe(blocks << 20);
    const peak = /VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${String(pid)}/status`, 'utf8'));
    expect(Number(peak?.[1])).toBeLessThan(250_000);
    connection.close();
  });

  it('gets status, errors and time limits as on a connection of its own', async () => {
    await connect();
    const connection = await share();
    const result = await connection.run('cat; echo err >&2; exit 9', { signal, stdin: Buffer.from('in') });
    expect(result).toEqual({ stdout: Buffer.from('in'), stderr: 'err\n', exitCode: 9 });
    await expect(connection.run('sleep 60', { signal, timeoutMs: 300 })).rejects.toMatchObject({
      code: 'REMOTE_TIMEOUT',
    });
    const interrupted = connection.run('sleep 60', { signal: AbortSignal.timeout(300) });
    await expect(interrupted).rejects.toMatchObject({ code: 'INTERRUPTED' });
    const failing = connection.stream('echo out', {
      signal,
      onStdout: () => {
        throw new Error('the disk here is full');
      },
    });
    await expect(failing).rejects.toThrow('the disk here is full');
    // A script that reads none of what it is sent.
    const unread = await connection.run('exit 3', { signal, stdin: Readable.from([randomBytes(8 << 20)]) });
    expect(unread.exitCode).toBe(3);
    connection.close();
  });

  it('reaches ports of the login node', async () => {
    await connect();
    const connection = await share();
    const stream = await connection.forward?.('localhost', 22, signal);
    stream?.write('SSH-2.0-test\r\n');
    const greeting = await new Promise<Buffer>((resolve) => stream?.once('data', resolve));
    expect(greeting.toString()).toMatch(/^SSH-2.0-OpenSSH/);
    stream?.destroy();
    await expect(connection.forward?.('localhost', 1, signal)).rejects.toMatchObject({ code: 'FORWARD_REFUSED' });
    connection.close();
  });

  it('ends with the one who holds it', async () => {
    await connect();
    const following = startHpcrun(['status', '--json'], { cwd: project, env: { XDG_RUNTIME_DIR: runtime } });
    await following;
    const connection = await share();
    const running = connection.run('sleep 60', { signal });
    const rejected = expect(running).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    await command('disconnect');
    await rejected;
  });
});

describe('a connection that is lost', () => {
  it('is made anew where nobody has to be asked', async () => {
    await connect();
    const before = await countLogins();
    await killSessions();
    await until(
      'it works again',
      async () => (await command('status')).exitCode === 0 && (await sharedState()) === 'connected',
    );
    expect(await countLogins()).toBe(before + 1);
  });

  it('is noticed when the network is gone, and made anew when it is back', async () => {
    await connect();
    // All that the login node sends to this machine is lost.
    const gateway = (await onLogin("ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'")).trim();
    await onLogin(`ip route add blackhole ${gateway}/32`, 'root');
    try {
      await until('the loss is noticed', async () => (await sharedState()) === 'reconnecting');
    } finally {
      await onLogin(`ip route del blackhole ${gateway}/32`, 'root');
    }
    await until(
      'it works again',
      async () => (await command('status')).exitCode === 0 && (await sharedState()) === 'connected',
    );
  });

  it('is not made anew where a person would have to answer', async () => {
    const { port, knownHostsFile } = await sandboxCluster();
    const password = 'correct horse battery';
    await onLogin(`echo 'researcher:${password}' | chpasswd`, 'root');
    const directory = join(runtime, 'asking', 'key');
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const place = placeIn(directory);
    const settings: HolderSettings = {
      directory,
      cluster: 'asking',
      target: { host: '127.0.0.1', user: 'researcher', port, knownHostsFile, isolated: true },
      idleMs: 600_000,
      lifetimeMs: null,
      logFile: join(runtime, 'asking', 'log'),
      version: packageVersion(),
    };
    const asked: string[] = [];
    const prompter: Prompter = {
      tell: () => undefined,
      ask: (question) => {
        asked.push(question);
        return Promise.resolve(password);
      },
    };
    const program = join(packageDirectory(), 'dist', 'cli', 'connection-holder.js');
    try {
      await startHolder(program, settings);
      const client = await reachHolder(place);
      if (!client) throw new Error('the holder is not there');
      await logInThrough(client, prompter, signal);
      const connection = await findSharedConnection(place, packageVersion());
      expect((await connection?.run('id -un', { signal }))?.stdout.toString()).toBe('researcher\n');
      await killSessions();
      await until('the loss is noticed', async () => (await readSharedStatus(client)).state === 'lost');
      const before = await countLogins();
      await expect(connection?.run('id -un', { signal })).rejects.toMatchObject({
        code: 'CONNECTION_LOST',
        hint: expect.stringContaining('hpcrun connect') as string,
      });
      expect(await countLogins()).toBe(before);
      expect(asked).toHaveLength(1);
      expect(await readFile(settings.logFile, 'utf8')).not.toContain(password);
      connection?.close();
      client.multiplexer.close();

      await clearPlace(place);
      await startHolder(program, settings);
      const second = await reachHolder(place);
      if (!second) throw new Error('the holder is not there');
      const refusing: Prompter = { tell: () => undefined, ask: () => Promise.resolve('wrong') };
      await expect(logInThrough(second, refusing, signal)).rejects.toMatchObject({ code: 'LOGIN_FAILED' });
      await second.multiplexer.closed;
    } finally {
      await clearPlace(place);
      await onLogin("usermod --password '*' researcher", 'root');
    }
  });
});

describe('a socket', () => {
  it('of another user is refused', async (context) => {
    if (process.getuid?.() !== 0) context.skip('only root can give a file away');
    await connect();
    const { socket } = await findPlace();
    await chown(socket, 12_345, 12_345);
    const refused = await command('status', '--json');
    expect([refused.exitCode, errorOf(refused).code]).toEqual([5, 'SHARED_CONNECTION_UNSAFE']);
    await chown(socket, 0, 0);
  });

  it('serves nobody without the token, and no other version', async () => {
    await connect();
    const place = await findPlace();
    for (const hello of ['{"protocol":1,"token":"guess"}\n', 'GET / HTTP/1.0\r\n\r\n', `${'x'.repeat(5000)}\n`]) {
      const client = connectSocket({ path: place.socket });
      client.write(hello);
      client.write(Buffer.from([0, 0, 0, 2, 0, 0, 0, 0, 1, 0x7b, 0x7d]));
      client.on('error', () => undefined);
      const answer = await text(client).catch(() => '');
      if (answer !== '') expect(JSON.parse(answer)).toMatchObject({ accepted: false });
    }
    await expect(findSharedConnection(place, '0.0.0')).rejects.toMatchObject({
      code: 'SHARED_CONNECTION_OUTDATED',
      hint: expect.stringContaining('hpcrun connect') as string,
    });
    expect((await command('status')).exitCode).toBe(0);
  });
});
