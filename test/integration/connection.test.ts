import { execa } from 'execa';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quote, quoteAll } from '../../src/ssh/quote.js';
import type { Connection } from '../../src/ssh/connection.js';
import { noPrompter } from '../../src/ssh/prompter.js';
import { openConnection } from '../../src/ssh/open-connection.js';
import { makeProject, onLogin, sandboxCluster } from './lab.js';

const signal = new AbortController().signal;
let connection: Connection;

async function open(): Promise<Connection> {
  const { port, identityFile, knownHostsFile } = await sandboxCluster();
  const overrides = { host: '127.0.0.1', user: 'researcher', port, identityFile, knownHostsFile, isolated: true };
  return await openConnection(overrides, { env: process.env, prompter: noPrompter, signal });
}

async function output(script: string, stdin?: Buffer): Promise<string> {
  const { stdout } = await connection.run(script, { signal, ...(stdin ? { stdin } : {}) });
  return stdout.toString('utf8');
}

beforeAll(async () => {
  connection = await open();
});

afterAll(() => {
  connection.close();
});

describe('a connection', () => {
  it('gives output, errors and exit status', async () => {
    const result = await connection.run('echo out; echo err >&2; exit 9', { signal });
    expect(result).toEqual({ stdout: Buffer.from('out\n'), stderr: 'err\n', exitCode: 9 });
  });

  it('passes any argument unchanged', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: 'binary' }), { maxLength: 4 }), async (words) => {
        const clean = words.map((word) => word.replaceAll('\0', ''));
        const received = await output(`printf '%s\\0' ${quoteAll(['x', ...clean])}`);
        expect(received).toBe(['x', ...clean].map((word) => `${word}\0`).join(''));
      }),
      { numRuns: 25 },
    );
  });

  it('carries bytes both ways, more than a window of them', async () => {
    const bytes = randomBytes(5_000_000);
    const { stdout } = await connection.run('cat', { signal, stdin: Readable.from([bytes]) });
    expect(stdout.equals(bytes)).toBe(true);
  });

  it('runs many scripts at once', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, (_, index) => output(`sleep 0.2; echo ${index}`)));
    expect(answers).toEqual(Array.from({ length: 8 }, (_, index) => `${index}\n`));
  });

  it('never misses the end of a script, however soon it comes', async () => {
    for (let round = 0; round < 10; round += 1) {
      const results = await Promise.all(
        Array.from({ length: 8 }, (_, index) => connection.run(`exit ${index}`, { signal })),
      );
      expect(results.map(({ exitCode }) => exitCode)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    }
  });

  it('ends a script that takes too long, or that the user interrupts', async () => {
    await expect(connection.run('sleep 60', { signal, timeoutMs: 300 })).rejects.toMatchObject({
      code: 'REMOTE_TIMEOUT',
    });
    await expect(connection.run('sleep 60', { signal: AbortSignal.timeout(300) })).rejects.toMatchObject({
      code: 'INTERRUPTED',
    });
    expect(await output('echo still here')).toBe('still here\n');
  });

  it('says so when the connection breaks', async () => {
    const doomed = await open();
    const running = doomed.run('echo $PPID; sleep 60', { signal });
    const rejected = expect(running).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    await onLogin(`sleep 0.5; pkill -u researcher -f 'sshd-session: researcher@notty' -n`, 'root');
    await rejected;
    await expect(doomed.run('echo', { signal })).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
  });
});

describe('a login shell that gets in the way', () => {
  async function withStartupFile(lines: string, work: () => Promise<void>): Promise<void> {
    const file = '/home/researcher/.bashrc';
    await onLogin(`cp ${file} ${file}.kept; printf '%s\\n' ${quote(lines)} | cat - ${file}.kept >${file}`);
    try {
      await work();
    } finally {
      await onLogin(`mv ${file}.kept ${file}`);
    }
  }

  it('may print as much as it likes', async () => {
    await withStartupFile('seq 1 2000; echo "Welcome to $(hostname)"; echo noise >&2; export LANG=de_DE', async () => {
      const result = await connection.run('echo clean; echo own >&2', { signal });
      expect([result.stdout.toString(), result.stderr]).toEqual(['clean\n', 'own\n']);
    });
  });

  it('is named when it ends before the command', async () => {
    await withStartupFile('echo maintenance today; exit 3', async () => {
      await expect(connection.run('echo', { signal })).rejects.toMatchObject({
        code: 'REMOTE_SHELL_UNUSABLE',
        message: expect.stringContaining('maintenance today') as string,
      });
    });
  });
});

describe('a host behind a jump host, as the SSH configuration says', () => {
  it('is reached through it, both host keys verified', async () => {
    const { port, identityFile, knownHostsFile } = await sandboxCluster();
    const directory = await makeProject({});
    const innerKey = (await readFile(knownHostsFile, 'utf8')).replace(/^\S+/gm, 'localhost');
    await writeFile(join(directory, 'known_inner'), innerKey);
    const shared = `User researcher\n  IdentityFile ${identityFile}\n`;
    // OpenSSH reads the configuration of the account, whatever HOME says: the real ssh, told of another one.
    const { stdout: ssh } = await execa('sh', ['-c', 'command -v ssh']);
    await writeFile(
      join(directory, 'config'),
      `Host gate\n  HostName 127.0.0.1\n  Port ${port}\n  ${shared}  UserKnownHostsFile ${knownHostsFile}\n` +
        `Host inner\n  HostName localhost\n  ${shared}  UserKnownHostsFile ${join(directory, 'known_inner')}\n  ProxyJump gate\n` +
        `Host proxied\n  HostName localhost\n  ${shared}  UserKnownHostsFile ${join(directory, 'known_inner')}\n` +
        `  ProxyCommand ${ssh} -F ${join(directory, 'config')} -W %h:%p gate\n` +
        `Host broken\n  ProxyCommand sh -c 'echo no way >&2; exit 4'\n`,
    );
    await mkdir(join(directory, 'path'));
    await writeFile(join(directory, 'path', 'ssh'), `#!/bin/sh\nexec ${ssh} -F ${join(directory, 'config')} "$@"\n`, {
      mode: 0o755,
    });
    const { PATH } = process.env;
    process.env.PATH = `${join(directory, 'path')}:${PATH ?? ''}`;
    try {
      const inner = await openConnection({ host: 'inner' }, { env: {}, prompter: noPrompter, signal });
      expect(inner.description).toBe('researcher@localhost:22');
      expect((await inner.run('echo "$SSH_CONNECTION"', { signal })).stdout.toString()).toMatch(
        /^(?:::1|127\.0\.0\.1) /,
      );
      inner.close();
      const proxied = await openConnection({ host: 'proxied' }, { env: process.env, prompter: noPrompter, signal });
      expect((await proxied.run('id -un', { signal })).stdout.toString()).toBe('researcher\n');
      proxied.close();
      const broken = openConnection({ host: 'broken' }, { env: process.env, prompter: noPrompter, signal });
      await expect(broken).rejects.toMatchObject({
        code: 'CONNECTION_FAILED',
        message: expect.stringContaining('status 4: no way') as string,
      });
      await writeFile(join(directory, 'known_inner'), '');
      const refused = openConnection({ host: 'inner' }, { env: {}, prompter: noPrompter, signal });
      await expect(refused).rejects.toMatchObject({ code: 'HOST_KEY_UNKNOWN' });
    } finally {
      process.env.PATH = PATH;
    }
  });
});
