import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, ClientChannel } from 'ssh2';
import { HpcrunError, interrupted, messageOf, throwIfInterrupted } from '../errors.js';
import type { Connection, RemoteResult, RunOptions, StreamOptions } from './connection.js';
import { FrameReader, renderFramedCommand } from './frame.js';
import { login, openSocket, type OpenOptions } from './login.js';
import { parseJump, resolveHost, type HostOverrides } from './ssh-config.js';
import { printable } from './terminal-text.js';

const commandTimeoutMs = 120_000;
const stderrLimitBytes = 1 << 20;
const farewellMs = 2000;
const refusedPauseMs = 250;
// Without a channel of one's own that could end.
const patientRefusals = 40;

/**
 * Logs in to a host with ssh2, through its jump hosts if it has any. Host keys are always verified. Throws
 * CONNECTION_FAILED, LOGIN_FAILED, HOST_KEY_UNKNOWN, HOST_KEY_CHANGED, HOST_KEY_REVOKED, INPUT_NEEDED or INTERRUPTED.
 */
export async function openSsh2Connection(overrides: HostOverrides, options: OpenOptions): Promise<Connection> {
  const settings = await resolveHost(overrides, options.env);
  const clients: Client[] = [];
  const closeAll = () => {
    for (const client of [...clients].reverse()) {
      client.end();
      // A far side that has gone silent must not keep hpcrun from ending.
      setTimeout(() => client.destroy(), farewellMs).unref();
    }
  };
  try {
    for (const jump of settings.jumps) {
      const hop = await resolveHost(parseJump(jump), options.env);
      clients.push(await login(hop, await openSocket(hop, clients.at(-1), options.signal), options));
    }
    const client = await login(settings, await openSocket(settings, clients.at(-1), options.signal), options);
    clients.push(client);
    return new Ssh2Connection(client, `${settings.user}@${settings.host}:${settings.port}`, closeAll);
  } catch (error) {
    closeAll();
    throw error;
  }
}

interface OpenChannel {
  channel: ClientChannel;
  /** Filled in when the script has ended. */
  exit: { code: number | undefined };
  closed: Promise<void>;
}

/**
 * Listens for the end of a script from the very moment its channel is there: the answer to a short one may come in the
 * same packet, before anybody who waits for the channel has been told of it.
 */
function watch(channel: ClientChannel): OpenChannel {
  const exit: OpenChannel['exit'] = { code: undefined };
  channel.on('exit', (code: number | null, signalName?: string) => {
    exit.code = code ?? (signalName === undefined ? undefined : 128);
  });
  const closed = new Promise<void>((resolve) => channel.once('close', resolve));
  // The far side may well close its input early; its exit status says what happened.
  channel.on('error', () => undefined);
  return { channel, exit, closed };
}

class Ssh2Connection implements Connection {
  readonly closed: Promise<void>;
  private lost: Error | undefined;
  /** Of the channels that are open, what settles when they close. */
  private readonly open = new Set<Promise<void>>();
  /** Whether the server has refused a session: from then on, channels are opened one after the other. */
  private isCrowded = false;
  private queue = Promise.resolve();

  constructor(
    private readonly client: Client,
    readonly description: string,
    private readonly closeAll: () => void,
  ) {
    client.on('error', (error) => {
      this.lost = error;
    });
    this.closed = new Promise((resolve) => client.once('close', resolve));
  }

  close(): void {
    this.closeAll();
  }

  async run(script: string, options: RunOptions): Promise<RemoteResult> {
    const chunks: Buffer[] = [];
    const onStdout = (chunk: Buffer) => {
      chunks.push(chunk);
    };
    const result = await this.stream(script, { timeoutMs: commandTimeoutMs, ...options, onStdout });
    return { ...result, stdout: Buffer.concat(chunks) };
  }

  forward(host: string, port: number, signal: AbortSignal): Promise<Duplex> {
    return this.ask<ClientChannel>(
      signal,
      (answer) => this.client.forwardOut('127.0.0.1', 0, host, port, answer),
      (cause) => forwardRefused(this.description, `${host}:${port}`, cause),
    );
  }

  async stream(script: string, options: StreamOptions): Promise<Omit<RemoteResult, 'stdout'>> {
    throwIfInterrupted(options.signal);
    const marker = `hpcrun-${randomBytes(9).toString('hex')}`;
    const opened = await this.openChannel(renderFramedCommand(script, marker), options.signal);
    const { channel } = opened;
    // A server closes a channel only when the script has ended, which may be never: hpcrun does not wait for that.
    let end: (error: HpcrunError) => void = () => undefined;
    let isEnded = false;
    const ended = new Promise<never>((_, reject) => {
      end = (error) => {
        isEnded = true;
        channel.close();
        reject(error);
      };
    });
    const onAbort = () => {
      end(interrupted());
    };
    options.signal.addEventListener('abort', onAbort, { once: true });
    const onStdout = (chunk: Buffer) => (isEnded ? undefined : options.onStdout(chunk));
    const { timeoutMs } = options;
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            end(timedOut(this.description, timeoutMs));
          }, timeoutMs);
    try {
      return await Promise.race([
        this.follow(opened, new FrameReader(marker), new FrameReader(marker), { ...options, onStdout }),
        ended,
      ]);
    } finally {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', onAbort);
    }
  }

  /**
   * A channel, at the latest when one of those that are open has ended: servers allow a number of sessions (MaxSessions of
   * sshd_config), and refuse more.
   */
  private async openChannel(command: string, signal: AbortSignal): Promise<OpenChannel> {
    if (!this.isCrowded) {
      try {
        return await this.tryChannel(command, signal);
      } catch (error) {
        if (!(error instanceof SessionRefused)) throw error;
        this.isCrowded = true;
      }
    }
    // Whoever asked first comes first: a script may wait for what the one before it does.
    const turn = this.queue;
    let leave: () => void = () => undefined;
    this.queue = new Promise((resolve) => {
      leave = resolve;
    });
    await turn;
    try {
      return await this.openPatiently(command, signal);
    } finally {
      leave();
    }
  }

  private async openPatiently(command: string, signal: AbortSignal): Promise<OpenChannel> {
    for (let refusals = 0; ;) {
      try {
        return await this.tryChannel(command, signal);
      } catch (error) {
        if (!(error instanceof SessionRefused) || refusals >= patientRefusals) throw error;
      }
      // A server may count a session for a moment after it has closed.
      if (this.open.size === 0) refusals += 1;
      await Promise.race([...this.open, sleep(refusedPauseMs)]);
      throwIfInterrupted(signal);
    }
  }

  private count(opened: OpenChannel): OpenChannel {
    this.open.add(opened.closed);
    void opened.closed.then(() => this.open.delete(opened.closed));
    return opened;
  }

  private async tryChannel(command: string, signal: AbortSignal): Promise<OpenChannel> {
    let opened: OpenChannel | undefined;
    await this.ask<ClientChannel>(
      signal,
      (answer) =>
        this.client.exec(command, (error, channel) => {
          // Before anybody else has a turn.
          if (!error) opened = watch(channel);
          answer(error, channel);
        }),
      (cause) => new SessionRefused(this.description, cause),
    );
    if (!opened) throw new Error('ssh2 granted a channel and gave none');
    return this.count(opened);
  }

  /**
   * Asks the server for a channel.
   * @param refused the error for a server that says no
   */
  private ask<T extends ClientChannel>(
    signal: AbortSignal,
    request: (answer: (error: Error | undefined, channel: T) => void) => unknown,
    refused: (cause: Error) => HpcrunError,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      let isOver = false;
      const settle = (act: () => void) => {
        isOver = true;
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        this.client.off('close', onClose);
        act();
      };
      const fail = (error: HpcrunError) => {
        settle(() => {
          reject(error);
        });
      };
      const onAbort = () => {
        fail(interrupted());
      };
      const onClose = () => {
        fail(connectionLost(this.description, this.lost ?? new Error('the server closed it')));
      };
      const timer = setTimeout(() => {
        fail(timedOut(this.description, commandTimeoutMs));
      }, commandTimeoutMs);
      signal.addEventListener('abort', onAbort, { once: true });
      this.client.once('close', onClose);
      try {
        if (this.lost) throw this.lost;
        request((error, channel) => {
          if (isOver) {
            // Nobody waits for it any more.
            if (!error) channel.close();
          } else if (error) fail(isRefusal(error) ? refused(error) : connectionLost(this.description, error));
          else {
            settle(() => {
              resolve(channel);
            });
          }
        });
      } catch (error) {
        fail(connectionLost(this.description, error));
      }
    });
  }

  private async follow(
    { channel, exit, closed }: OpenChannel,
    frame: FrameReader,
    stderrFrame: FrameReader,
    { stdin, onStdout }: StreamOptions,
  ): Promise<Omit<RemoteResult, 'stdout'>> {
    let stderr: Buffer = Buffer.alloc(0);
    channel.stderr.on('data', (chunk: Buffer) => {
      stderr = Buffer.concat([stderr, stderrFrame.push(chunk)]).subarray(-stderrLimitBytes);
    });

    let inputError: unknown;
    const input = stdin === undefined || Buffer.isBuffer(stdin) ? undefined : stdin;
    if (input) {
      input.once('error', (error) => {
        inputError = error;
        channel.destroy();
      });
      input.pipe(channel);
    } else {
      channel.end(stdin);
    }

    let outputError: unknown;
    try {
      for await (const chunk of channel as AsyncIterable<Buffer>) {
        const own = frame.push(chunk);
        if (own.length > 0) await onStdout(own);
      }
    } catch (error) {
      outputError = error;
    }
    await closed;
    input?.unpipe(channel);

    if (inputError !== undefined) throw inputError instanceof Error ? inputError : new Error(messageOf(inputError));
    const exitCode = exit.code;
    if (exitCode === undefined) throw connectionLost(this.description, this.lost ?? outputError);
    if (outputError !== undefined) throw outputError instanceof Error ? outputError : new Error(messageOf(outputError));
    if (!frame.isOpen) throw shellUnusable(this.description, exitCode, `${frame.noise}${stderrFrame.noise}`);
    return { stderr: stderr.toString('utf8'), exitCode };
  }
}

function connectionLost(description: string, cause: unknown): HpcrunError {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new HpcrunError('CONNECTION_LOST', `the connection to ${description} broke${why}`, {
    hint: 'Nothing half-written is ever used: run the same command again.',
    cause,
  });
}

function forwardRefused(description: string, target: string, cause: Error): HpcrunError {
  return new HpcrunError(
    'FORWARD_REFUSED',
    `${description} does not connect to ${target}: ${printable(cause.message)}`,
    {
      hint: 'Is something listening there? A site may also forbid forwarding (AllowTcpForwarding of its sshd).',
      cause,
    },
  );
}

/** The server has no room for another session beside those that are open. */
class SessionRefused extends HpcrunError {
  constructor(description: string, cause: Error) {
    super('CONNECTION_LOST', `${description} allows no further session: ${printable(cause.message)}`, {
      hint: 'Other programs may use the same connection; try again in a moment.',
      cause,
    });
  }
}

/** The server's answer, RFC 4254, section 5.1; OpenSSH says "connect failed" beyond MaxSessions. */
function isRefusal(error: Error): boolean {
  return 'reason' in error && error.message.includes('open failure');
}

function timedOut(description: string, timeoutMs: number): HpcrunError {
  return new HpcrunError('REMOTE_TIMEOUT', `${description} gave no answer within ${Math.round(timeoutMs / 1000)} s`, {
    hint: 'The login node may be overloaded; try again in a moment.',
  });
}

function shellUnusable(description: string, exitCode: number, output: string): HpcrunError {
  const shown = printable(output.trim()).slice(0, 500);
  return new HpcrunError(
    'REMOTE_SHELL_UNUSABLE',
    `${description} ended the login shell with status ${exitCode} before hpcrun's command began${shown ? `; it printed:\n${shown}` : ''}`,
    {
      hint: 'A start-up file there (.bashrc, .zshrc, .cshrc) ends or replaces the shell: let it do so only for interactive shells.',
    },
  );
}
