import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Client, type ConnectConfig, type ServerHostKeyAlgorithm } from 'ssh2';
import { HpcrunError, interrupted, messageOf, throwIfInterrupted } from '../errors.js';
import { Authentication } from './authentication.js';
import { openExchange, type Exchange } from './exchange.js';
import { connectFast, shareReads } from './fast-socket.js';
import { hostKeyAlgorithms, loadKnownHosts, verifyHostKey } from './host-key.js';
import { KeyRing } from './key-ring.js';
import type { Prompter } from './prompter.js';
import type { HostSettings } from './ssh-config.js';
import { printableLine } from './terminal-text.js';

const handshakeTimeoutMs = 30_000;
// Long enough to find the telephone and approve a login on it; sshd's own limit is two minutes (LoginGraceTime).
const confirmationTimeoutMs = 150_000;
// Longer than servers let somebody wait after a wrong password.
const silenceMs = 10_000;

export interface OpenOptions {
  env: NodeJS.ProcessEnv;
  prompter: Prompter;
  signal: AbortSignal;
  /** Nobody is there: only keys are tried, since an attempt of another kind may send somebody a code or a push message. */
  unattended?: boolean;
  /** How often a silent server is asked for a sign of life, and after how many that did not come it counts as lost. */
  keepalive?: { intervalMs: number; lostAfter: number };
  /** Keys that have been opened before; without it, each connection asks for passphrases itself. */
  keys?: KeyRing;
}

/**
 * A byte stream to a host: a socket, or a channel of the jump host's connection. Throws CONNECTION_FAILED or INTERRUPTED.
 */
export function openSocket(settings: HostSettings, through: Client | undefined, signal: AbortSignal): Promise<Duplex> {
  const { host, port, alias, connectTimeoutMs, addressFamily } = settings;
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
      settle(new Error(`no answer within ${connectTimeoutMs / 1000} s`));
    }, connectTimeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    if (through) {
      through.forwardOut('127.0.0.1', 0, host, port, (error, channel) => {
        settle(error ?? channel);
      });
      return;
    }
    const socket = connectFast({ host, port, ...(addressFamily && { family: addressFamily }) });
    abandon = () => socket.destroy();
    // The listener stays: an error between here and the handshake is the handshake's to report.
    socket.on('error', settle);
    socket.once('connect', () => {
      settle(socket);
    });
  });
}

/**
 * Speaks SSH over the stream: verifies the host key and logs in. Throws CONNECTION_FAILED, LOGIN_FAILED, the HOST_KEY
 * errors or INTERRUPTED.
 */
export async function login(settings: HostSettings, sock: Duplex, options: OpenOptions): Promise<Client> {
  const known = await loadKnownHosts(settings.knownHostsFiles);
  const client = new Client();
  const address = sock instanceof Socket ? sock.remoteAddress : undefined;
  // Ends questions that have become pointless because the server is gone.
  const over = new AbortController();
  const clock = new AnswerClock();
  const prompter: Prompter = {
    get columns() {
      return options.prompter.columns;
    },
    tell: (text, how) => {
      options.prompter.tell(text, how);
    },
    ask: (question, how) => clock.pause(() => options.prompter.ask(question, { ...how, signal: over.signal })),
  };
  const authentication = new Authentication(
    options.unattended ? { ...settings, authenticationOrder: ['publickey'] } : settings,
    prompter,
    options.keys ?? new KeyRing(),
  );
  return new Promise((resolve, reject) => {
    let failure: unknown;
    let accepted: Buffer | undefined;
    const fail = (error: unknown) => {
      failure ??= error;
      // It may tell of the same end several times.
      client.on('error', () => undefined);
      over.abort();
      client.destroy();
      finish();
      reject(failure instanceof Error ? failure : new Error(String(failure)));
    };
    const onAbort = () => {
      fail(interrupted());
    };
    clock.start(() => {
      fail(brokenOff(settings, authentication, new Error('the server stopped answering')));
    });
    const finish = () => {
      clock.stop();
      options.signal.removeEventListener('abort', onAbort);
    };
    options.signal.addEventListener('abort', onAbort, { once: true });

    const config: ConnectConfig = {
      sock: sock,
      username: settings.user,
      readyTimeout: 0,
      keepaliveInterval: options.keepalive?.intervalMs ?? settings.keepalive.intervalMs,
      keepaliveCountMax: options.keepalive?.lostAfter ?? settings.keepalive.countMax,
      // The whole list: what ssh2 has in its own, its `prepend` does not move to the front. Its ciphers begin with AES-GCM, the fastest.
      algorithms: { serverHostKey: hostKeyAlgorithms(known, settings) as ServerHostKeyAlgorithm[] },
      hostVerifier: (key: Buffer, verify: (valid: boolean) => void) => {
        // Keys are exchanged anew in long connections; nobody is asked again then, and the host key may not change.
        if (accepted) {
          verify(accepted.equals(key));
          return;
        }
        verifyHostKey({ key, address }, known, settings, prompter).then(
          () => {
            accepted = key;
            verify(true);
          },
          (error: unknown) => {
            failure ??= error;
            verify(false);
          },
        );
      },
    };
    client.once('ready', () => {
      finish();
      shareReads(sock, client);
      client.removeAllListeners('error');
      client.removeAllListeners('close');
      // A connection that breaks later is noticed by whoever uses it; on its own it must not end the process.
      client.on('error', () => undefined);
      resolve(client);
    });
    client.once('error', (error) => {
      fail(brokenOff(settings, authentication, error));
    });
    client.once('close', () => {
      fail(brokenOff(settings, authentication, new Error('the server closed the connection')));
    });
    if (settings.showsBanner) {
      client.on('banner', (text) => {
        // Some servers have people approve a login on a page they name here.
        clock.expect(confirmationTimeoutMs);
        authentication.quote(text, { isNotice: true });
      });
    }
    client.connect(config);
    openExchange(client, settings.user)
      .then((exchange) => authentication.logIn(timed(exchange, clock, prompter, over.signal)))
      .then(
        (isIn) => {
          if (!isIn) fail(refused(settings, authentication));
        },
        (error: unknown) => {
          fail(unanswered(settings, authentication, error));
        },
      );
  });
}

/** Notices a server that has stopped answering. It stands still while a person is asked. */
class AnswerClock {
  private idleMs = 0;
  private limitMs = handshakeTimeoutMs;
  private questions = 0;
  private timer: NodeJS.Timeout | undefined;

  start(onTimeout: () => void): void {
    this.timer = setInterval(() => {
      this.idleMs = this.questions > 0 ? 0 : this.idleMs + 1000;
      if (this.idleMs >= this.limitMs) onTimeout();
    }, 1000);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** From now on, the server has this long. */
  expect(limitMs: number): void {
    this.idleMs = 0;
    this.limitMs = limitMs;
  }

  async pause<T>(question: () => Promise<T>): Promise<T> {
    this.questions += 1;
    try {
      return await question();
    } finally {
      this.questions -= 1;
    }
  }
}

function timed(exchange: Exchange, clock: AnswerClock, prompter: Prompter, over: AbortSignal): Exchange {
  return {
    get signatureAlgorithms() {
      return exchange.signatureAlgorithms;
    },
    send: (request) => {
      const takesPerson = ['password', 'keyboard-interactive', 'answers'].includes(request.type);
      clock.expect(takesPerson ? confirmationTimeoutMs : handshakeTimeoutMs);
      if (takesPerson) {
        // Some servers send a message to a telephone and do not say so.
        const timer = setTimeout(() => {
          if (over.aborted) return;
          prompter.tell('Waiting for the server. Does it want an approval elsewhere, such as on your telephone?');
        }, silenceMs).unref();
        return exchange.send(request).finally(() => {
          clearTimeout(timer);
        });
      }
      // An agent may ask its owner, or want a touch.
      if (request.type !== 'prove-key') return exchange.send(request);
      return exchange.send({ ...request, sign: (data) => clock.pause(() => request.sign(data)) });
    },
  };
}

/** A login that ended before the server had said no. */
function brokenOff(settings: HostSettings, authentication: Authentication, error: Error): HpcrunError {
  const who = `${settings.user}@${settings.alias}`;
  const isDisconnect = 'code' in error && typeof error.code === 'number';
  if (isDisconnect && authentication.tried.length > 0) {
    return refused(settings, authentication, `the server said: ${printableLine(error.message)}`, error);
  }
  // Some servers hang up after so many wrong answers, without a word or before it can be read.
  if (authentication.wasWrong) return refused(settings, authentication, printableLine(error.message), error);
  return new HpcrunError('CONNECTION_FAILED', `cannot log in to ${who}: ${printableLine(error.message)}`, {
    hint: `"ssh -v ${settings.alias}" shows more.`,
    cause: error,
  });
}

/** What the server wanted and hpcrun tried, and what might help. */
function refused(settings: HostSettings, authentication: Authentication, why?: string, cause?: unknown): HpcrunError {
  const { tried, accepted } = authentication;
  const reasons = [
    `${settings.user}@${settings.alias} was not let in`,
    ...(why === undefined ? [] : [why]),
    `tried: ${tried.join(', ') || 'nothing'}`,
    ...(accepted === undefined ? [] : [`the server accepts: ${printableLine(accepted.join(', ')) || 'nothing more'}`]),
  ];
  const beyondUs = onlyOpenssh(settings, authentication);
  const hint =
    beyondUs.length > 0
      ? `hpcrun's own SSH cannot use ${beyondUs.join(' and ')}. Let the system's ssh log in: "transport: openssh" in the cluster's configuration.`
      : `Check with "ssh ${settings.alias}" which key or password is wanted, and that the user name is right.`;
  const tooMany = /too many/i.test(why ?? '') && !settings.identitiesOnly;
  return new HpcrunError('LOGIN_FAILED', reasons.join('; '), {
    hint: tooMany
      ? `${hint} With many keys, name the right one in ~/.ssh/config (IdentityFile, IdentitiesOnly yes).`
      : hint,
    cause,
  });
}

/** What could have let the user in and takes OpenSSH itself: certificates, FIDO keys, Kerberos. */
function onlyOpenssh(settings: HostSettings, { beyondUs, accepted }: Authentication): string[] {
  const offersGssapi = accepted?.some((method) => method.startsWith('gssapi-')) ?? false;
  const offersQuestions = accepted?.some((method) => ['password', 'keyboard-interactive'].includes(method)) ?? false;
  if (!offersGssapi || (offersQuestions && !settings.allowsGssapi)) return [...beyondUs];
  return [...beyondUs, 'Kerberos tickets (GSSAPI), which the server accepts'];
}

/** A login that needs an answer nobody can give is a login that failed; every other error stays what it is. */
function unanswered(settings: HostSettings, authentication: Authentication, error: unknown): unknown {
  if (!(error instanceof HpcrunError) || error.code !== 'INPUT_NEEDED') return error;
  const login = refused(settings, authentication, error.message, error);
  if (onlyOpenssh(settings, authentication).length > 0 || error.hint === undefined) return login;
  return new HpcrunError('LOGIN_FAILED', login.message, { hint: error.hint, cause: error });
}
