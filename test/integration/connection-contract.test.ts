import { execa } from 'execa';
import fc from 'fast-check';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Connection } from '../../src/ssh/connection.js';
import { openConnection, type ConnectionTarget } from '../../src/ssh/open-connection.js';
import { noPrompter, type Prompter } from '../../src/ssh/prompter.js';
import { quote, quoteAll } from '../../src/ssh/quote.js';
import { answering } from '../support/answering.js';
import { anyWord, shellWord } from '../support/text.js';
import { startSshd, type ExtraSshd } from './extra-sshd.js';
import { makeProject, onLogin, sandboxCluster } from './lab.js';
import { onTerminal } from './on-terminal.js';

const signal = new AbortController().signal;
const password = 'correct horse';

/** Waits until what `look` gives no longer changes; for what must stop, and might stop late. */
async function standstill(look: () => Promise<number>): Promise<number> {
  for (let last = -1, same = 0; ;) {
    const now = await look();
    same = now === last && now > 0 ? same + 1 : 0;
    if (same === 5) return now;
    last = now;
    await sleep(100);
  }
}

describe.each(['ssh2', 'openssh'] as const)('a connection with %s', (transport) => {
  let sandbox: ConnectionTarget;
  let connection: Connection;
  const opened: Connection[] = [];

  const open = async (target: ConnectionTarget, prompter: Prompter = noPrompter): Promise<Connection> => {
    const made = await openConnection({ ...target, transport }, { env: process.env, prompter, signal });
    opened.push(made);
    return made;
  };
  const output = async (script: string, from = connection): Promise<string> =>
    (await from.run(script, { signal })).stdout.toString('utf8');

  beforeAll(async () => {
    const { port, identityFile, knownHostsFile } = await sandboxCluster();
    sandbox = { host: '127.0.0.1', user: 'researcher', port, identityFile, knownHostsFile, isolated: true };
    connection = await open(sandbox);
  });

  afterAll(async () => {
    for (const each of opened) each.close();
    await Promise.all(opened.map((each) => each.closed));
  });

  describe('runs scripts', () => {
    it.each([
      ['echo out; echo err >&2; exit 9', 'out\n', 'err\n', 9],
      ['printf "no newline"; printf here >&2', 'no newline', 'here', 0],
      ['exit 255', '', '', 255],
      ['exec sh -c "echo replaced; exit 4"', 'replaced\n', '', 4],
      ['kill -9 "$(exec sh -c \'echo $PPID\')"', '', 'Killed\n', 137],
    ])('%s', async (script, stdout, stderr, exitCode) => {
      expect(await connection.run(script, { signal })).toEqual({ stdout: Buffer.from(stdout), stderr, exitCode });
    });

    it('passes any argument unchanged, in whatever locale', async () => {
      const words = fc.array(fc.oneof(anyWord, shellWord), { minLength: 100, maxLength: 300 });
      await fc.assert(
        fc.asyncProperty(words, async (list) => {
          const script = `export LC_ALL=C; printf '%s\\0' ${quoteAll(list)}`;
          expect(await output(script)).toBe(list.map((word) => `${word}\0`).join(''));
        }),
        { numRuns: 15 },
      );
    });

    it('carries any bytes both ways, more than a window of them', async () => {
      const bytes = randomBytes(12_000_000);
      const { stdout } = await connection.run('cat', {
        signal,
        stdin: Readable.from([bytes.subarray(0, 7), bytes.subarray(7)]),
      });
      expect(createHash('sha256').update(stdout).digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'));
    });

    it('holds the far side back while its output is not taken', async () => {
      const file = `/tmp/written-${transport}`;
      const script = `i=0; while [ $i -lt 300 ]; do head -c 1000000 /dev/zero; i=$((i+1)); echo $i >${file}; done`;
      let received = 0;
      let release: () => void = () => undefined;
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      const onStdout = async (chunk: Buffer) => {
        received += chunk.length;
        await released;
      };
      const running = connection.stream(script, { signal, onStdout });
      const written = await standstill(async () => Number(await onLogin(`cat ${file} 2>/dev/null || echo 0`)));
      release();
      expect((await running).exitCode).toBe(0);
      expect(written).toBeLessThan(100);
      expect(received).toBe(300_000_000);
      await onLogin(`rm ${file}`);
    });

    it('holds its input back while the far side does not read', async () => {
      const gate = `/tmp/gate-${transport}`;
      let sent = 0;
      function* blocks() {
        for (; sent < 100; sent += 1) yield Buffer.alloc(1_000_000);
      }
      const running = connection.run(`while [ ! -e ${gate} ]; do sleep 0.1; done; wc -c`, {
        signal,
        stdin: Readable.from(blocks(), { objectMode: false, highWaterMark: 1 << 20 }),
      });
      const before = await standstill(() => Promise.resolve(sent));
      await onLogin(`touch ${gate}`);
      expect((await running).stdout.toString().trim()).toBe('100000000');
      expect(before).toBeLessThan(50);
      await onLogin(`rm ${gate}`);
    });

    it('does not wait for a script to read all it is given', async () => {
      const stdin = Readable.from([Buffer.alloc(5_000_000)]);
      expect((await connection.run('head -c 3 >/dev/null; exit 3', { signal, stdin })).exitCode).toBe(3);
    });

    it('fails with the error of its input', async () => {
      function* broken() {
        yield Buffer.from('a');
        throw new Error('the disk is gone');
      }
      const running = connection.run('cat', { signal, stdin: Readable.from(broken()) });
      await expect(running).rejects.toThrow('the disk is gone');
      expect(await output('echo still here')).toBe('still here\n');
    });

    it('runs many at once, more than the server allows', async () => {
      const answers = await Promise.all(Array.from({ length: 16 }, (_, index) => output(`sleep 0.2; echo ${index}`)));
      expect(answers).toEqual(Array.from({ length: 16 }, (_, index) => `${index}\n`));
    });

    it('ends those that take too long, or that the user interrupts, and goes on', async () => {
      const late = connection.run('sleep 600', { signal, timeoutMs: 300 });
      await expect(late).rejects.toMatchObject({ code: 'REMOTE_TIMEOUT' });
      const stopped = connection.run('sleep 600', { signal: AbortSignal.timeout(300) });
      await expect(stopped).rejects.toMatchObject({ code: 'INTERRUPTED' });
      const never = connection.run('echo', { signal: AbortSignal.abort() });
      await expect(never).rejects.toMatchObject({ code: 'INTERRUPTED' });
      expect(await output('echo still here')).toBe('still here\n');
    });

    it('hands over standard error as it comes', async () => {
      const heard = { out: '', err: '' };
      const script = 'echo first >&2; read -r line; echo "$line"; echo second >&2; exit 6';
      const stdin = new PassThrough();
      const result = await connection.stream(script, {
        signal,
        stdin,
        onStdout: (chunk) => {
          heard.out += chunk.toString();
        },
        onStderr: (chunk) => {
          heard.err += chunk.toString();
          // Only who has heard the first of it can say this.
          if (heard.err === 'first\n') stdin.end('heard\n');
        },
      });
      expect({ ...heard, ...result }).toEqual({ out: 'heard\n', err: 'first\nsecond\n', stderr: '', exitCode: 6 });
    });

    it('gives a script a terminal, its size, and later sizes', async () => {
      const { heard, exitCode } = await onTerminal(connection);
      expect(heard).toBe('TERM=vt100\nerr\n40 100\nready\n11 33\nlast\n');
      expect(exitCode).toBe(5);
    });

    it('hangs up a terminal when nobody wants it any more', async () => {
      const file = `/tmp/hung-up-${transport}`;
      const over = new AbortController();
      const running = connection.stream(`trap 'echo hup >${file}; exit' HUP; echo ready; while :; do sleep 0.1; done`, {
        signal: over.signal,
        stdin: new PassThrough(),
        onStdout: () => {
          over.abort();
        },
        terminal: { type: 'vt100', size: { columns: 80, rows: 24 } },
      });
      await expect(running).rejects.toMatchObject({ code: 'INTERRUPTED' });
      for (let tries = 0; (await onLogin(`cat ${file} 2>/dev/null || echo no`)) !== 'hup'; tries += 1) {
        expect(tries).toBeLessThan(200);
        await sleep(100);
      }
      await onLogin(`rm ${file}`);
    });

    it('reaches a port of the login node', async () => {
      const stream = await connection.forward?.('localhost', 22, signal);
      if (!stream) throw new Error('it cannot forward');
      const [greeting] = (await stream.take(1).toArray()) as Buffer[];
      stream.destroy();
      expect(greeting?.toString()).toMatch(/^SSH-2\.0-/);
    });
  });

  describe('whose login shell gets in the way', () => {
    const file = '/home/researcher/.bashrc';

    async function withStartUpFile(lines: string, work: (fresh: Connection) => Promise<void>): Promise<void> {
      await onLogin(`cp ${file} ${file}.kept; printf '%s\\n' ${quote(lines)} | cat - ${file}.kept >${file}`);
      try {
        await work(await open(sandbox));
      } finally {
        await onLogin(`mv ${file}.kept ${file}`);
      }
    }

    it.each([
      ['prints much before', 'seq 1 3000; echo Welcome; echo noise >&2; export LANG=de_DE; PATH=/nonexistent'],
      ['prints something afterwards', 'trap "echo bye; echo bye >&2" EXIT'],
      ['leaves something running that prints later and never ends', '(sleep 1; echo late; sleep 600) & (sleep 600) &'],
      ['puts sh in its place', 'exec /bin/sh'],
      ['puts bash in its place', '[ -n "$REPLACED" ] || REPLACED=1 exec bash --norc'],
    ])('%s', async (_, lines) => {
      await withStartUpFile(lines, async (fresh) => {
        const stdin = Readable.from([Buffer.from('first line\nsecond '), Buffer.alloc(100_000, 'x')]);
        const path = 'PATH=/usr/bin:/bin; ';
        const first = await fresh.run(`${path}wc -c; echo own >&2; exit 5`, { signal, stdin });
        expect([first.stdout.toString(), first.stderr, first.exitCode]).toEqual(['100018\n', 'own\n', 5]);
        expect(await output(`${path}echo again`, fresh)).toBe('again\n');
        const third = await fresh.run(`${path}head -n 1`, { signal, stdin: Buffer.from('line\nrest') });
        expect(third.stdout.toString()).toBe('line\n');
      });
    });

    it.each([
      ['ends', 'echo maintenance today; exit 3', ['maintenance today', 'status 3'], '.bashrc'],
      [
        'is ended by a mistake in a file',
        '. /home/researcher/.nothing || exit 1',
        ['.bashrc', '.nothing'],
        'interactive',
      ],
      ['reads what is for the command', 'read -r answer', ['reads standard input'], '.bashrc'],
    ])('and %s: the error says so', async (_, lines, said, hint) => {
      await withStartUpFile(lines, async (fresh) => {
        const running = fresh.run('cat', { signal, stdin: Buffer.from('a\nb\n') });
        const error = await running.then(
          () => undefined,
          (reason: unknown) => reason as { code: string; message: string; hint: string },
        );
        expect(error?.code).toBe('REMOTE_SHELL_UNUSABLE');
        for (const text of said) expect(error?.message).toContain(text);
        expect(error?.hint).toContain(hint);
      });
    });
  });

  describe('to a server', () => {
    const servers: ExtraSshd[] = [];
    const serve = async (port: number, options: string[]): Promise<ExtraSshd> => {
      const server = await startSshd(port, options);
      servers.push(server);
      return server;
    };
    const base = transport === 'ssh2' ? 2100 : 2200;

    afterAll(async () => {
      for (const server of servers) await server.stop();
    });

    it('that allows one session and has no SFTP: scripts run one after the other', async () => {
      const { target } = await serve(base, ['MaxSessions=1']);
      const narrow = await open(target);
      const words = Array.from({ length: 5 }, (_, index) => `word ${index}`);
      const results = await Promise.all(
        words.map((word, index) =>
          narrow.run('sleep 0.2; cat', {
            signal,
            stdin: index % 2 ? Buffer.from(word) : Readable.from([Buffer.from(word)]),
          }),
        ),
      );
      expect(results.map(({ stdout }) => stdout.toString())).toEqual(words);
    });

    it('that is killed in the middle: it says so, then and later', async () => {
      const server = await startSshd(base + 1, []);
      const doomed = await open(server.target);
      let hasStarted: () => void = () => undefined;
      const started = new Promise<void>((resolve) => {
        hasStarted = resolve;
      });
      const running = doomed.stream('echo; sleep 600', { signal, onStdout: hasStarted });
      const rejected = expect(running).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
      await started;
      await server.stop();
      await rejected;
      await doomed.closed;
      await expect(doomed.run('echo', { signal })).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    });

    it('that takes a password: it is asked for, and never shown', async () => {
      await onLogin(`echo 'researcher:${password}' | chpasswd`, 'root');
      const { target } = await serve(base + 2, [
        'PasswordAuthentication=yes',
        'PubkeyAuthentication=no',
        'KbdInteractiveAuthentication=no',
      ]);
      const right = answering(password);
      expect(await output('id -un', await open(target, right))).toBe('researcher\n');
      expect(right.asked).toEqual([{ question: expect.stringMatching(/password: $/i) as string, secret: true }]);
      const wrong = answering('wrong-secret');
      const error = await open(target, wrong).then(
        () => undefined,
        (reason: unknown) => reason as Error,
      );
      expect(error).toMatchObject({ code: 'LOGIN_FAILED' });
      expect(wrong.asked).toHaveLength(3);
      expect(JSON.stringify(error) + (error?.stack ?? '')).not.toContain('wrong-secret');
      await expect(open(target)).rejects.toMatchObject({ code: 'LOGIN_FAILED' });
      await onLogin("usermod --password '*' researcher", 'root');
    });

    it('that trusts the certificates of an authority: openssh has one, ssh2 says what to do', async () => {
      const directory = await makeProject({});
      const [authority, key] = [join(directory, 'authority'), join(directory, 'key')];
      for (const file of [authority, key]) await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
      await execa('ssh-keygen', ['-q', '-s', authority, '-I', 'test', '-n', 'researcher', '-V', '+1d', `${key}.pub`]);
      const trusted = `/etc/ssh/authority-${transport}.pub`;
      await onLogin(`printf '%s\\n' ${quote(await readFile(`${authority}.pub`, 'utf8'))} >${trusted}`, 'root');
      const options = [`TrustedUserCAKeys=${trusted}`, 'AuthorizedKeysFile=none', 'PasswordAuthentication=no'];
      const { target } = await serve(base + 3, [...options, 'KbdInteractiveAuthentication=no']);
      const login = open({ ...target, identityFile: key });
      if (transport === 'openssh') expect(await output('id -un', await login)).toBe('researcher\n');
      else await expect(login).rejects.toMatchObject({ code: 'LOGIN_FAILED' });
    });

    it('behind two others, each host key verified', async () => {
      const outer = await serve(base + 4, []);
      const inner = await serve(base + 5, []);
      const knownHostsFile = join(await makeProject({}), 'known hosts');
      const known = await Promise.all([outer, inner].map(({ target }) => readFile(target.knownHostsFile, 'utf8')));
      const proxyJump = [outer, inner].map(({ target: { host, port } }) => `researcher@${host}:${port}`).join(',');
      const behind = { ...sandbox, host: '127.0.0.1', port: 22, knownHostsFile, proxyJump };
      const own = (known[0] ?? '').replace(/^\S+/gm, '127.0.0.1');
      await writeFile(knownHostsFile, `${known.join('')}${own}`);
      expect(await output('echo "$SSH_CONNECTION"', await open(behind))).toMatch(/^127\.0\.0\.1 /);
      await writeFile(knownHostsFile, `${known[0] ?? ''}${own}`);
      await expect(open(behind)).rejects.toMatchObject({ code: 'HOST_KEY_UNKNOWN' });
    });

    it('that does not know the key', async () => {
      const directory = await makeProject({});
      await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(directory, 'other')]);
      const refused = open({ ...sandbox, identityFile: join(directory, 'other') });
      await expect(refused).rejects.toMatchObject({ code: 'LOGIN_FAILED' });
    });

    it('with a key that wants a passphrase', async () => {
      const key = join(await makeProject({}), 'locked');
      await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'open sesame', '-f', key]);
      await onLogin(
        `printf '%s\\n' ${quote(await readFile(`${key}.pub`, 'utf8'))} >>/home/researcher/.ssh/authorized_keys`,
      );
      const owner = answering('open sesame');
      expect(await output('echo in', await open({ ...sandbox, identityFile: key }, owner))).toBe('in\n');
      expect(owner.asked).toEqual([{ question: `Enter passphrase for key '${key}': `, secret: true }]);
      await expect(open({ ...sandbox, identityFile: key })).rejects.toMatchObject({ code: 'LOGIN_FAILED' });
    });

    it('whose host key is another than the known one: refused', async () => {
      const directory = await makeProject({});
      await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(directory, 'host')]);
      const known = `[127.0.0.1]:${String(sandbox.port)} ${await readFile(join(directory, 'host.pub'), 'utf8')}`;
      await writeFile(join(directory, 'known_hosts'), known);
      const eager = answering('yes');
      const refused = open({ ...sandbox, knownHostsFile: join(directory, 'known_hosts') }, eager);
      await expect(refused).rejects.toMatchObject({
        code: 'HOST_KEY_CHANGED',
        message: expect.stringMatching(/SHA256:[\w+/]{43}/) as string,
        hint: expect.stringContaining('ssh-keygen') as string,
      });
      expect(eager.asked).toEqual([]);
      expect(await readFile(join(directory, 'known_hosts'), 'utf8')).toBe(known);
    });

    it('whose host key is not known: asked about, and stored or not', async () => {
      const knownHostsFile = join(await makeProject({ known_hosts: '' }), 'known_hosts');
      const stranger = { ...sandbox, knownHostsFile };
      const unknown = {
        code: 'HOST_KEY_UNKNOWN',
        message: expect.stringMatching(/SHA256:[\w+/]{43}/) as string,
      };
      await expect(open(stranger)).rejects.toMatchObject(unknown);
      await expect(open(stranger, answering('no'))).rejects.toMatchObject({ code: 'HOST_KEY_UNKNOWN' });
      expect(await readFile(knownHostsFile, 'utf8')).toBe('');
      const trusting = answering('yes');
      expect(await output('echo in', await open(stranger, trusting))).toBe('in\n');
      expect(trusting.asked).toEqual([{ question: expect.stringContaining('(yes/no') as string, secret: false }]);
      expect(trusting.told.join('\n')).toMatch(/SHA256:[\w+/]{43}/);
      expect(await readFile(knownHostsFile, 'utf8')).toMatch(/^\[127\.0\.0\.1\]:\d+ ssh-ed25519 \S+\n/);
      expect(await output('echo in', await open(stranger))).toBe('in\n');
    });

    it('that is not there, or closes at once', async () => {
      const closing = createServer((socket) => socket.destroy());
      await new Promise<void>((resolve) => closing.listen(0, '127.0.0.1', resolve));
      const { port } = closing.address() as AddressInfo;
      await expect(open({ ...sandbox, port })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' });
      await new Promise((resolve) => closing.close(resolve));
      await expect(open({ ...sandbox, port })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' });
    });

    it('whose name would be a command for a shell: refused', async () => {
      await expect(open({ ...sandbox, host: '$(touch x)' })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' });
      await expect(open({ ...sandbox, user: '-oProxyCommand=x' })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' });
    });
  });
});
