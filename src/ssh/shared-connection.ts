import { connect as connectSocket, type Socket } from 'node:net';
import { Duplex, Writable } from 'node:stream';
import { HpcrunError, interrupted, isMissing, isSystemError, messageOf, throwIfInterrupted } from '../errors.js';
import type { Connection, RemoteResult, RunOptions, StreamOptions } from './connection.js';
import type { Prompter } from './prompter.js';
import { parseLine, readLine } from './sharing/hello.js';
import {
  errorFrom,
  failureOf,
  protocolVersion,
  replySchema,
  welcomeSchema,
  type Answer,
  type Reply,
  type Request,
  type Resize,
  type SharedStatus,
  type Welcome,
} from './sharing/messages.js';
import { Multiplexer, type Channel } from './sharing/multiplexer.js';
import { hasSocket, readToken, type SocketPlace } from './sharing/socket-place.js';

const commandTimeoutMs = 120_000;
const welcomeTimeoutMs = 15_000;

/** What speaks with the process that holds a connection. */
export interface HolderClient {
  welcome: Welcome;
  multiplexer: Multiplexer;
}

/**
 * Reaches the process that holds a connection in this place; undefined if there is none. Throws SHARED_CONNECTION_UNSAFE where somebody
 * else may have made the socket, SHARED_CONNECTION_FAILED where nothing answers.
 */
export async function reachHolder(place: SocketPlace): Promise<HolderClient | undefined> {
  if (!(await hasSocket(place))) return undefined;
  const socket = await openSocket(place.socket);
  const token = await readToken(place);
  if (!socket || token === undefined) {
    socket?.destroy();
    return undefined;
  }
  socket.write(`${JSON.stringify({ protocol: protocolVersion, token })}\n`);
  let line: string;
  try {
    line = await readLine(socket, welcomeTimeoutMs);
  } catch (error) {
    // It has just ended.
    const isGone = socket.destroyed || socket.readableEnded;
    socket.destroy();
    if (isGone) return undefined;
    throw new HpcrunError(
      'SHARED_CONNECTION_FAILED',
      `the process that holds the shared connection does not answer: ${messageOf(error)}`,
      {
        hint: 'hpcrun disconnect, and then: hpcrun connect',
      },
    );
  }
  const welcome = welcomeSchema.safeParse(parseLine(line));
  if (!welcome.success) {
    socket.destroy();
    throw new HpcrunError('SHARED_CONNECTION_FAILED', `what listens at ${place.socket} is no hpcrun`, {
      hint: 'hpcrun disconnect, and then: hpcrun connect',
    });
  }
  return { welcome: welcome.data, multiplexer: new Multiplexer(socket) };
}

function openSocket(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ path });
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      socket.on('error', () => undefined);
      resolve(socket);
    });
    socket.once('error', (error) => {
      // Left behind by a process that was killed.
      if (isMissing(error) || isSystemError(error, 'ECONNREFUSED')) resolve(undefined);
      else reject(error);
    });
  });
}

/** Whether a client of this version can use what the holder offers. */
export function isUsable({ accepted, protocol, version }: Welcome, ownVersion: string): boolean {
  return accepted && protocol === protocolVersion && version === ownVersion;
}

/**
 * The connection that `hpcrun connect` keeps; undefined if there is none. Throws SHARED_CONNECTION_OUTDATED if another version of hpcrun
 * made it, and what `reachHolder` throws.
 */
export async function findSharedConnection(place: SocketPlace, version: string): Promise<Connection | undefined> {
  const client = await reachHolder(place);
  if (!client) return undefined;
  if (isUsable(client.welcome, version)) return new SharedConnection(client);
  client.multiplexer.close();
  throw new HpcrunError(
    'SHARED_CONNECTION_OUTDATED',
    `the shared connection was made by hpcrun ${client.welcome.version}, and this is hpcrun ${version}`,
    { hint: 'Make a new one: hpcrun connect' },
  );
}

/** Asks for something that is answered with one message. */
function request(client: HolderClient, message: Request, timeoutMs: number): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      clearTimeout(timer);
      channel.close();
      act();
    };
    const timer = setTimeout(() => {
      settle(() => {
        reject(holderLost(client.welcome.description));
      });
    }, timeoutMs);
    const channel = client.multiplexer.open(message, {
      onMessage: (reply) => {
        settle(() => {
          resolve(replySchema.parse(reply));
        });
      },
      onClose: () => {
        settle(() => {
          reject(holderLost(client.welcome.description));
        });
      },
    });
  });
}

export async function readSharedStatus(client: HolderClient): Promise<SharedStatus> {
  const reply = await request(client, { kind: 'status' }, welcomeTimeoutMs);
  if (reply.type !== 'status') throw new Error(`the holder answered ${reply.type} where its status was asked for`);
  return reply.status;
}

/** Ends the process that holds the connection; returns when it has closed its socket. */
export async function endHolder(client: HolderClient): Promise<void> {
  await request(client, { kind: 'end' }, welcomeTimeoutMs);
  await client.multiplexer.closed;
}

/** Logs in, or waits for the login that somebody else has begun. Throws what a login throws. */
export function logInThrough(client: HolderClient, prompter: Prompter, signal: AbortSignal): Promise<void> {
  throwIfInterrupted(signal);
  return new Promise((resolve, reject) => {
    // Takes a question back that has become pointless.
    const over = new AbortController();
    const settle = (act: () => void) => {
      signal.removeEventListener('abort', onAbort);
      over.abort();
      channel.close();
      act();
    };
    const onAbort = () => {
      settle(() => {
        reject(interrupted());
      });
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const answer = async (question: string, secret: boolean): Promise<Answer> => {
      try {
        return { type: 'answer', answer: await prompter.ask(question, { secret, signal: over.signal }) };
      } catch (error) {
        return failureOf(error);
      }
    };
    const channel: Channel = client.multiplexer.open({ kind: 'login', columns: prompter.columns } satisfies Request, {
      onMessage: (message) => {
        const reply = replySchema.parse(message);
        if (reply.type === 'ask') {
          void answer(reply.question, reply.secret).then((text) => {
            channel.message(text);
          });
        } else if (reply.type === 'tell') prompter.tell(reply.text);
        else if (reply.type === 'done') settle(resolve);
        else {
          settle(() => {
            reject(reply.type === 'failure' ? errorFrom(reply) : new Error(`a login was answered with ${reply.type}`));
          });
        }
      },
      onClose: () => {
        settle(() => {
          reject(holderLost(client.welcome.description));
        });
      },
    });
  });
}

/** A connection that another process holds. */
class SharedConnection implements Connection {
  readonly description: string;
  readonly closed: Promise<void>;

  constructor(private readonly client: HolderClient) {
    this.description = client.welcome.description;
    this.closed = client.multiplexer.closed.then(() => undefined);
  }

  close(): void {
    this.client.multiplexer.finish();
  }

  async run(script: string, options: RunOptions): Promise<RemoteResult> {
    const chunks: Buffer[] = [];
    const onStdout = (chunk: Buffer) => {
      chunks.push(chunk);
    };
    const result = await this.stream(script, { timeoutMs: commandTimeoutMs, ...options, onStdout });
    return { ...result, stdout: Buffer.concat(chunks) };
  }

  stream(script: string, options: StreamOptions): Promise<Omit<RemoteResult, 'stdout'>> {
    const { stdin, signal, timeoutMs, onStdout, onStderr, terminal } = options;
    throwIfInterrupted(signal);
    return new Promise((resolve, reject) => {
      const errors: Buffer[] = [];
      let isOver = false;
      let areErrors = false;
      const settle = (act: () => void) => {
        if (isOver) return;
        isOver = true;
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        endResizing?.();
        channel.close();
        act();
      };
      const fail = (error: unknown) => {
        settle(() => {
          reject(error instanceof Error ? error : new Error(messageOf(error)));
        });
      };
      const onAbort = () => {
        fail(interrupted());
      };
      const timer =
        timeoutMs === undefined
          ? undefined
          : setTimeout(() => {
              fail(timedOut(this.description, timeoutMs));
            }, timeoutMs);
      signal.addEventListener('abort', onAbort, { once: true });
      const take = async (taken: Promise<void>) => {
        try {
          await taken;
        } catch (error) {
          fail(error);
        }
      };
      const channel = this.client.multiplexer.open(
        {
          kind: 'exec',
          script,
          hasInput: stdin !== undefined,
          streamsErrors: onStderr !== undefined,
          ...(terminal ? { terminal: { type: terminal.type, size: terminal.size } } : {}),
        } satisfies Request,
        {
          onData: (chunk) => {
            if (isOver) return;
            if (areErrors && !onStderr) {
              errors.push(chunk);
              return;
            }
            try {
              const taken = areErrors ? onStderr?.(chunk) : onStdout(chunk);
              return taken && take(taken);
            } catch (error) {
              fail(error);
            }
          },
          onMessage: (message) => {
            const reply = replySchema.parse(message);
            if (reply.type === 'errors' || reply.type === 'output') areErrors = reply.type === 'errors';
            else if (reply.type === 'exit') {
              settle(() => {
                resolve({ stderr: Buffer.concat(errors).toString('utf8'), exitCode: reply.exitCode });
              });
            } else
              fail(reply.type === 'failure' ? errorFrom(reply) : new Error(`a script was answered with ${reply.type}`));
          },
          onClose: () => {
            fail(holderLost(this.description));
          },
        },
      );
      const endResizing = terminal?.onResize?.((size) => {
        channel.message({ type: 'resize', size } satisfies Resize);
      });
      if (stdin !== undefined) sendInput(channel, stdin, () => isOver).catch(fail);
    });
  }

  forward(host: string, port: number, signal: AbortSignal): Promise<Duplex> {
    throwIfInterrupted(signal);
    return new Promise((resolve, reject) => {
      let isOpen = false;
      const fail = (error: Error) => {
        signal.removeEventListener('abort', onAbort);
        stream.destroy(isOpen ? error : undefined);
        reject(error);
      };
      const onAbort = () => {
        fail(interrupted());
      };
      signal.addEventListener('abort', onAbort, { once: true });
      let taken: () => void = () => undefined;
      const sink = { current: undefined as Writable | undefined };
      const stream = new Duplex({
        read: () => {
          taken();
        },
        write: (chunk: Buffer, encoding, done) => sink.current?.write(chunk, encoding, done),
        final: (done) => sink.current?.end(done),
        destroy: (error, done) => {
          channel.close();
          done(error);
        },
      });
      const channel = this.client.multiplexer.open({ kind: 'forward', host, port } satisfies Request, {
        onData: (chunk) => {
          if (stream.push(chunk)) return;
          return new Promise((ready) => {
            taken = ready;
          });
        },
        onEnd: () => {
          stream.push(null);
        },
        onMessage: (message) => {
          const reply = replySchema.parse(message);
          if (reply.type === 'done') {
            isOpen = true;
            signal.removeEventListener('abort', onAbort);
            resolve(stream);
          } else
            fail(reply.type === 'failure' ? errorFrom(reply) : new Error(`a forward was answered with ${reply.type}`));
        },
        onClose: () => {
          fail(holderLost(this.description));
        },
      });
      sink.current = channelSink(channel);
    });
  }
}

/** Sends what is written to it through a channel, as fast as the other side takes it. */
async function sendInput(
  channel: Channel,
  input: Buffer | AsyncIterable<Buffer>,
  isOver: () => boolean,
): Promise<void> {
  if (Buffer.isBuffer(input)) await channel.write(input);
  else
    for await (const chunk of input) {
      if (isOver()) return;
      // The stream may still hold what it was given when the memory of the chunk is used again.
      await channel.write(Buffer.from(chunk));
    }
  channel.end();
}

function channelSink(channel: Channel): Writable {
  return new Writable({
    highWaterMark: 1 << 17,
    write: (chunk: Buffer, _encoding, done) => {
      channel.write(chunk).then(() => {
        done();
      }, done);
    },
    final: (done) => {
      channel.end();
      done();
    },
  });
}

function holderLost(description: string): HpcrunError {
  return new HpcrunError('CONNECTION_LOST', `the shared connection to ${description} has ended`, {
    hint: 'Nothing half-written is ever used: run the same command again, after "hpcrun connect" if a login asks you something.',
  });
}

function timedOut(description: string, timeoutMs: number): HpcrunError {
  return new HpcrunError('REMOTE_TIMEOUT', `${description} gave no answer within ${Math.round(timeoutMs / 1000)} s`, {
    hint: 'The login node may be overloaded; try again in a moment.',
  });
}
