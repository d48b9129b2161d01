import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { isMissing, throwIfInterrupted } from '../errors.js';
import { connectionLost, forwardRefused, type Channel, type ChannelEnd, type ChannelSource } from './channel.js';
import type { Connection, TerminalRequest } from './connection.js';
import { FramedConnection } from './framed-connection.js';
import type { OpenOptions } from './login.js';
import { renderSharedArguments } from './openssh-arguments.js';
import { OpensshMaster } from './openssh-master.js';
import type { HostOverrides } from './ssh-config.js';

/** ssh's own failures, and commands that a signal has ended. */
const opensshFailureStatus = 255;
// The connection is there: what stands for the host's name is not used.
const unusedHost = 'shared';
// In which an ssh that could not reach a port has ended.
const refusalMs = 5000;

/**
 * Logs in to a host with the system's ssh, so that everything works that works there: certificates, GSSAPI, FIDO keys. Its
 * questions come through `prompter`. Host keys are always verified. Throws CONNECTION_FAILED, LOGIN_FAILED, HOST_KEY_UNKNOWN,
 * HOST_KEY_CHANGED, HOST_KEY_REVOKED or INTERRUPTED.
 */
export async function openOpensshConnection(target: HostOverrides, options: OpenOptions): Promise<Connection> {
  const master = await OpensshMaster.start(target, options);
  const { host, port, user } = target;
  const description = `${user === undefined ? '' : `${user}@`}${host}${port === undefined ? '' : `:${port}`}`;
  return new FramedConnection(new OpensshChannels(master, description, options.env));
}

/** Sessions of one shared connection, each by an ssh of its own (ssh(1), -S). */
class OpensshChannels implements ChannelSource {
  constructor(
    private readonly master: OpensshMaster,
    readonly description: string,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  get closed(): Promise<void> {
    return this.master.closed;
  }

  close(): void {
    this.master.close();
  }

  openChannel(command: string, signal: AbortSignal, terminal?: TerminalRequest): Promise<Channel> {
    throwIfInterrupted(signal);
    if (this.master.lost) return Promise.reject(connectionLost(this.description, this.master.lost));
    const { child, ended } = this.start(['--', unusedHost, command], terminal);
    return Promise.resolve({
      stdin: child.stdin,
      stdout: child.stdout,
      stderr: child.stderr,
      ended,
      close: () => {
        // One that ends by itself at this moment does not mind.
        child.kill('SIGTERM');
        for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
      },
    });
  }

  /** ssh does not say when it has reached the port: if it cannot, the stream fails with FORWARD_REFUSED. */
  forward(host: string, port: number, signal: AbortSignal): Promise<Duplex> {
    throwIfInterrupted(signal);
    if (this.master.lost) return Promise.reject(connectionLost(this.description, this.master.lost));
    const target = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    const { child, ended } = this.start(['-W', target, '--', unusedHost]);
    const { stdin, stdout } = child;
    let isAnswered = false;
    const stream = new Duplex({
      read: () => stdout.resume(),
      write: (chunk: Buffer, encoding, done) => {
        // Whether it has arrived is the end's to tell.
        if (stdin.destroyed || stdin.write(chunk, encoding)) {
          done();
          return;
        }
        const proceed = () => {
          stdin.off('drain', proceed).off('close', proceed);
          done();
        };
        stdin.once('drain', proceed).once('close', proceed);
      },
      final: (done) => {
        stdin.end();
        done();
      },
      destroy: (error, done) => {
        child.kill('SIGTERM');
        done(error);
      },
    });
    stdout.on('data', (chunk: Buffer) => {
      isAnswered = true;
      if (!stream.push(chunk)) stdout.pause();
    });
    const drained = new Promise<void>((resolve) => {
      stdout.once('close', resolve);
      stdout.once('end', () => {
        resolve();
        // One direction may end before the other; but an ssh that was refused ends, too, and is about to say so.
        if (isAnswered) stream.push(null);
        else setTimeout(() => !stream.destroyed && stream.push(null), refusalMs).unref();
      });
    });
    void Promise.all([ended, drained]).then(([{ exitCode, cause }]) => {
      if (exitCode !== opensshFailureStatus && cause === undefined) {
        if (!stream.destroyed) stream.push(null);
        return;
      }
      const why = cause ?? new Error('ssh has ended the stream');
      stream.destroy(
        this.master.lost ? connectionLost(this.description, why) : forwardRefused(this.description, target, why),
      );
    });
    return Promise.resolve(stream);
  }

  private start(
    use: string[],
    terminal?: TerminalRequest,
  ): { child: ChildProcessWithoutNullStreams; ended: Promise<ChannelEnd> } {
    const logFile = join(this.master.directory, randomBytes(6).toString('hex'));
    const argv = [...renderSharedArguments(this.master.socket, logFile, terminal !== undefined), ...use];
    // It tells the server of its own TERM.
    const env = terminal ? { ...this.env, TERM: terminal.type } : this.env;
    const child = spawn('ssh', argv, { detached: true, stdio: 'pipe', env });
    // The far side may well close its input early; its exit status says what happened.
    child.stdin.on('error', () => undefined);
    const ended = new Promise<ChannelEnd>((resolve) => {
      child.once('error', (cause) => {
        resolve({ cause });
      });
      child.once('exit', (code) => {
        void this.explainEnd(code, logFile).then(resolve);
      });
    });
    return { child, ended };
  }

  private async explainEnd(code: number | null, logFile: string): Promise<ChannelEnd> {
    try {
      if (code === null) return {};
      if (code !== opensshFailureStatus) return { exitCode: code };
      const said = (await readLog(logFile)).trim();
      const cause = said === '' ? undefined : new Error(said.split('\n').at(-1) ?? said);
      if (/open refused/i.test(said)) return { isRefused: true, cause };
      if (await this.master.isAlive()) return { exitCode: code, cause };
      await this.master.closed;
      return { cause: this.master.lost ?? cause };
    } finally {
      await rm(logFile, { force: true });
    }
  }
}

async function readLog(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (isMissing(error)) return '';
    throw error;
  }
}
