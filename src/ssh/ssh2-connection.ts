import { randomBytes } from 'node:crypto';
import { connect as connectSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Client, type Algorithms, type ClientChannel, type ConnectConfig, type ServerHostKeyAlgorithm } from 'ssh2';
import { HpcrunError, interrupted, messageOf, throwIfInterrupted } from '../errors.js';
import { Authentication } from './authentication.js';
import type { Connection, RemoteResult, RunOptions, StreamOptions } from './connection.js';
import { FrameReader, renderFramedCommand } from './frame.js';
import { loadKnownHosts, preferredKeyAlgorithms, verifyHostKey } from './host-key.js';
import type { Prompter } from './prompter.js';
import { parseJump, resolveHost, type HostOverrides, type HostSettings } from './ssh-config.js';
import { printable } from './terminal-text.js';

const socketTimeoutMs = 15_000;
const handshakeTimeoutMs = 30_000;
const commandTimeoutMs = 120_000;
const stderrLimitBytes = 1 << 20;

export interface OpenOptions {
  env: NodeJS.ProcessEnv;
  prompter: Prompter;
  signal: AbortSignal;
}

/**
 * Logs in to a host with ssh2, through its jump hosts if it has any. Host keys are always verified. Throws
 * CONNECTION_FAILED, LOGIN_FAILED, HOST_KEY_UNKNOWN, HOST_KEY_CHANGED, HOST_KEY_REVOKED, INPUT_NEEDED or INTERRUPTED.
 */
export async function openConnection(overrides: HostOverrides, options: OpenOptions): Promise<Connection> {
  const settings = await resolveHost(overrides, options.env);
  const clients: Client[] = [];
  const closeAll = () => {
    for (const client of [...clients].reverse()) client.end();
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

function openSocket(settings: HostSettings, through: Client | undefined, signal: AbortSignal): Promise<Duplex> {
  const { host, port, alias } = settings;
  const failed = (cause: unknown) =>
    new HpcrunError('CONNECTION_FAILED', `cannot reach ${alias} (${host}, port ${port}): ${messageOf(cause)}`, {
      hint: `Check the name, your network and VPN; "ssh ${alias}" should work too.`,
      cause,
    });
  throwIfInterrupted(signal);
  return new Promise((resolve, reject) => {
    let isSettled = false;
    let abandon: () => void = () => undefined;
    const settle = (result: Duplex | Error) => {
      if (isSettled) {
        // The answer came after everybody had stopped waiting for it.
        if (!(result instanceof Error)) result.destroy();
        return;
      }
      isSettled = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      if (result instanceof Error) {
        abandon();
        reject(result instanceof HpcrunError ? result : failed(result));
      } else resolve(result);
    };
    const onAbort = () => {
      settle(interrupted());
    };
    const timer = setTimeout(() => {
      settle(new Error('no answer within 15 s'));
    }, socketTimeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    if (through) {
      through.forwardOut('127.0.0.1', 0, host, port, (error, channel) => {
        settle(error ?? channel);
      });
      return;
    }
    const socket = connectSocket({ host, port, noDelay: true });
    abandon = () => socket.destroy();
    // The listener stays: an error between here and the handshake is the handshake's to report.
    socket.on('error', settle);
    socket.once('connect', () => {
      settle(socket);
    });
  });
}

async function login(settings: HostSettings, sock: Duplex, options: OpenOptions): Promise<Client> {
  const known = await loadKnownHosts(settings.knownHostsFiles);
  const client = new Client();
  // The clock for the handshake stands still while a person is being asked.
  let asking = false;
  const prompter: Prompter = {
    tell: (text) => {
      options.prompter.tell(text);
    },
    ask: async (question, askOptions) => {
      asking = true;
      try {
        return await options.prompter.ask(question, askOptions);
      } finally {
        asking = false;
      }
    },
  };
  return new Promise((resolve, reject) => {
    let failure: unknown;
    const fail = (error: unknown) => {
      failure ??= error;
      client.destroy();
      finish();
      reject(failure instanceof Error ? failure : new Error(String(failure)));
    };
    const authentication: Authentication = new Authentication(settings, prompter, (error) => {
      fail(unanswered(settings, authentication, error));
    });
    const onAbort = () => {
      fail(interrupted());
    };
    let idleMs = 0;
    const timer = setInterval(() => {
      idleMs = asking ? 0 : idleMs + 1000;
      if (idleMs < handshakeTimeoutMs) return;
      fail(loginError(settings, authentication, new Error('the server stopped answering')));
    }, 1000);
    const finish = () => {
      clearInterval(timer);
      options.signal.removeEventListener('abort', onAbort);
    };
    options.signal.addEventListener('abort', onAbort, { once: true });

    const config: ConnectConfig = {
      sock: sock,
      username: settings.user,
      readyTimeout: 0,
      keepaliveInterval: 15_000,
      keepaliveCountMax: 3,
      algorithms: preferredAlgorithms(preferredKeyAlgorithms(known, settings)),
      hostVerifier: (key: Buffer, verify: (valid: boolean) => void) => {
        verifyHostKey(key, known, settings, prompter).then(
          () => {
            verify(true);
          },
          (error: unknown) => {
            failure ??= error;
            verify(false);
          },
        );
      },
      authHandler: (left, hasSucceededPartly, next) => {
        authentication.next(left as typeof left | null, hasSucceededPartly).then(
          (method) => {
            // The declared type leaves out `false`, which is how ssh2 is told that nothing is left to try.
            (next as (method: unknown) => void)(method);
          },
          (error: unknown) => {
            fail(unanswered(settings, authentication, error));
          },
        );
      },
    };
    client.once('ready', () => {
      finish();
      client.removeAllListeners('error');
      client.removeAllListeners('close');
      // A connection that breaks later is noticed by whoever uses it; on its own it must not end the process.
      client.on('error', () => undefined);
      resolve(client);
    });
    client.once('error', (error) => {
      fail(failure ?? loginError(settings, authentication, error));
    });
    client.once('close', () => {
      fail(failure ?? loginError(settings, authentication, new Error('the server closed the connection')));
    });
    client.connect(config);
  });
}

// AES-GCM first: with the CPU's own instructions it is the fastest strong cipher that OpenSSH and node:crypto share.
function preferredAlgorithms(keyAlgorithms: string[]): Algorithms {
  const cipher: NonNullable<Algorithms['cipher']> = {
    prepend: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'],
    append: [],
    remove: [],
  };
  if (keyAlgorithms.length === 0) return { cipher };
  return { cipher, serverHostKey: { prepend: keyAlgorithms as ServerHostKeyAlgorithm[], append: [], remove: [] } };
}

function loginError(settings: HostSettings, { tried }: Authentication, error: Error & { level?: string }): HpcrunError {
  const who = `${settings.user}@${settings.alias}`;
  if (error.level === 'client-authentication') {
    return new HpcrunError('LOGIN_FAILED', `${who} was not let in; tried: ${tried.join(', ') || 'nothing'}`, {
      hint: `Check with "ssh ${settings.alias}" which key or password is wanted, and that the user name is right.`,
      cause: error,
    });
  }
  return new HpcrunError('CONNECTION_FAILED', `cannot log in to ${who}: ${printable(error.message)}`, {
    hint: `"ssh -v ${settings.alias}" shows more.`,
    cause: error,
  });
}

/** A login that needs an answer nobody can give is a login that failed; every other error stays what it is. */
function unanswered(settings: HostSettings, { tried }: Authentication, error: unknown): unknown {
  if (!(error instanceof HpcrunError) || error.code !== 'INPUT_NEEDED') return error;
  const message = `${settings.user}@${settings.alias} was not let in without a question (tried: ${tried.join(', ')}): ${error.message}`;
  return new HpcrunError('LOGIN_FAILED', message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    cause: error,
  });
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
  private lost: Error | undefined;

  constructor(
    private readonly client: Client,
    readonly description: string,
    private readonly closeAll: () => void,
  ) {
    client.on('error', (error) => {
      this.lost = error;
    });
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

  private openChannel(command: string, signal: AbortSignal): Promise<OpenChannel> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(timedOut(this.description, commandTimeoutMs));
      }, commandTimeoutMs);
      const onAbort = () => {
        reject(interrupted());
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const lost = (cause: unknown) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        reject(connectionLost(this.description, cause));
      };
      if (this.lost) {
        lost(this.lost);
        return;
      }
      const onClose = () => {
        lost(new Error('the server closed it'));
      };
      this.client.once('close', onClose);
      try {
        this.client.exec(command, (error, channel) => {
          this.client.off('close', onClose);
          clearTimeout(timer);
          signal.removeEventListener('abort', onAbort);
          if (error) lost(error);
          else if (signal.aborted) channel.close();
          else resolve(watch(channel));
        });
      } catch (error) {
        lost(error);
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
