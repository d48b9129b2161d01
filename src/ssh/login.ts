import { connect as connectSocket, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Client, type Algorithms, type ConnectConfig, type ServerHostKeyAlgorithm } from 'ssh2';
import { HpcrunError, interrupted, messageOf, throwIfInterrupted } from '../errors.js';
import { Authentication } from './authentication.js';
import { loadKnownHosts, preferredKeyAlgorithms, verifyHostKey } from './host-key.js';
import type { Prompter } from './prompter.js';
import type { HostSettings } from './ssh-config.js';
import { printable } from './terminal-text.js';

const socketTimeoutMs = 15_000;
const handshakeTimeoutMs = 30_000;

export interface OpenOptions {
  env: NodeJS.ProcessEnv;
  prompter: Prompter;
  signal: AbortSignal;
  /** How often a silent server is asked for a sign of life, and after how many that did not come it counts as lost. */
  keepalive?: { intervalMs: number; lostAfter: number };
}

/**
 * A byte stream to a host: a socket, or a channel of the jump host's connection. Throws CONNECTION_FAILED or INTERRUPTED.
 */
export function openSocket(settings: HostSettings, through: Client | undefined, signal: AbortSignal): Promise<Duplex> {
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
      joinWrites(socket);
      settle(socket);
    });
  });
}

/**
 * Makes one system call of all that is written to a socket in one turn of the event loop. ssh2 writes each packet of 32 KiB for
 * itself, which costs a third of what a fast link carries.
 */
function joinWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  let isHeld = false;
  socket.write = (...args: unknown[]) => {
    if (!isHeld) {
      isHeld = true;
      socket.cork();
      setImmediate(() => {
        isHeld = false;
        socket.uncork();
      });
    }
    return write(...args);
  };
}

/**
 * Speaks SSH over the stream: verifies the host key and logs in. Throws CONNECTION_FAILED, LOGIN_FAILED, the HOST_KEY
 * errors or INTERRUPTED.
 */
export async function login(settings: HostSettings, sock: Duplex, options: OpenOptions): Promise<Client> {
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
      // It may tell of the same end several times.
      client.on('error', () => undefined);
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
      keepaliveInterval: options.keepalive?.intervalMs ?? 15_000,
      keepaliveCountMax: options.keepalive?.lostAfter ?? 3,
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
