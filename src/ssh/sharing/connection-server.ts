import { timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import { Readable, type Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { HpcrunError, interrupted } from '../../errors.js';
import type { TerminalSize } from '../connection.js';
import type { Prompter } from '../prompter.js';
import type { ConnectionHolder } from './connection-holder.js';
import { parseLine, readLine } from './hello.js';
import {
  answerSchema,
  errorFrom,
  failureOf,
  helloSchema,
  protocolVersion,
  requestSchema,
  resizeSchema,
  type Reply,
  type Request,
  type SharedStatus,
  type Welcome,
} from './messages.js';
import { Multiplexer, type Channel } from './multiplexer.js';

const helloTimeoutMs = 10_000;

export interface ServerInputs {
  holder: ConnectionHolder;
  token: string;
  version: string;
  describe: () => string;
  status: () => SharedStatus;
  /** A command begins to use the connection; what it returns is called when it has done so. */
  use: () => () => void;
  /** Somebody wants all of it to end. */
  end: () => void;
  log: (text: string) => void;
}

/** Speaks with one client until it has gone. Never rejects. */
export async function serveClient(socket: Socket, inputs: ServerInputs): Promise<void> {
  socket.on('error', (error) => {
    inputs.log(`a client is gone: ${error.message}`);
  });
  try {
    const hello = helloSchema.safeParse(parseLine(await readLine(socket, helloTimeoutMs)));
    const isOurs = hello.success && isSame(hello.data.token, inputs.token);
    const accepted = isOurs && hello.data.protocol === protocolVersion;
    if (!isOurs) inputs.log('refused a client without the token');
    const { version } = inputs;
    const welcome: Welcome = { protocol: protocolVersion, version, accepted, description: inputs.describe() };
    socket.write(`${JSON.stringify(welcome)}\n`);
    if (!accepted) {
      socket.end();
      return;
    }
  } catch (error) {
    inputs.log(`refused a client: ${error instanceof Error ? error.message : String(error)}`);
    socket.destroy();
    return;
  }
  const multiplexer = new Multiplexer(socket, (channel, message) => {
    const request = requestSchema.safeParse(message);
    if (request.success) void serve(channel, request.data, inputs);
    else reply(channel, failureOf(new Error('the request was not understood')));
  });
  const reason = await multiplexer.closed;
  if (reason) inputs.log(`a client is gone: ${reason.message}`);
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function reply(channel: Channel, message: Reply): void {
  channel.message(message);
}

async function serve(channel: Channel, request: Request, inputs: ServerInputs): Promise<void> {
  const release = request.kind === 'exec' || request.kind === 'forward' ? inputs.use() : () => undefined;
  try {
    switch (request.kind) {
      case 'exec':
        await serveExec(channel, request, inputs.holder);
        break;
      case 'forward':
        await serveForward(channel, request, inputs.holder);
        break;
      case 'login':
        await serveLogin(channel, request, inputs);
        break;
      case 'status':
        channel.listen({ onClose: () => undefined });
        reply(channel, { type: 'status', status: inputs.status() });
        break;
      case 'end':
        channel.listen({ onClose: () => undefined });
        reply(channel, { type: 'done' });
        inputs.end();
    }
  } catch (error) {
    reply(channel, failureOf(error));
    if (!(error instanceof HpcrunError))
      inputs.log(error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    release();
  }
}

async function serveExec(
  channel: Channel,
  { script, hasInput, streamsErrors, terminal }: Extract<Request, { kind: 'exec' }>,
  holder: ConnectionHolder,
): Promise<void> {
  const aborting = new AbortController();
  const input = new ChannelInput();
  let resize: ((size: TerminalSize) => void) | undefined;
  channel.listen({
    onMessage: (message) => {
      const parsed = resizeSchema.safeParse(message);
      if (parsed.success) resize?.(parsed.data.size);
    },
    onData: (chunk) => input.receive(chunk),
    onEnd: () => {
      input.push(null);
    },
    onClose: () => {
      aborting.abort();
    },
  });
  const { signal } = aborting;
  const connection = await holder.acquire();
  const outputs = new Outputs(channel);
  const onResize = (listener: (size: TerminalSize) => void) => {
    resize = listener;
    return () => {
      resize = undefined;
    };
  };
  const { stderr, exitCode } = await connection.stream(script, {
    signal,
    onStdout: (chunk) => outputs.write('output', chunk),
    ...(streamsErrors ? { onStderr: (chunk) => outputs.write('errors', chunk) } : {}),
    ...(hasInput ? { stdin: input } : {}),
    ...(terminal ? { terminal: { ...terminal, onResize } } : {}),
  });
  await outputs.write('errors', Buffer.from(stderr, 'utf8'));
  reply(channel, { type: 'exit', exitCode });
}

/** Two outputs through one channel: a message goes before what belongs to the other one. */
class Outputs {
  private current: 'output' | 'errors' = 'output';
  private queue = Promise.resolve();

  constructor(private readonly channel: Channel) {}

  /** Settles when all of it is on its way. */
  write(which: 'output' | 'errors', chunk: Buffer): Promise<void> {
    this.queue = this.queue.then(async () => {
      if (this.current !== which) reply(this.channel, { type: which });
      this.current = which;
      await this.channel.write(chunk);
    });
    return this.queue;
  }
}

/** What comes through a channel, as a stream that is filled no faster than it is read. */
class ChannelInput extends Readable {
  private taken: (() => void) | undefined;

  receive(chunk: Buffer): void | Promise<void> {
    if (this.push(chunk)) return;
    return new Promise((resolve) => {
      this.taken = resolve;
    });
  }

  override _read(): void {
    this.taken?.();
  }
}

async function serveForward(
  channel: Channel,
  { host, port }: Extract<Request, { kind: 'forward' }>,
  holder: ConnectionHolder,
): Promise<void> {
  const aborting = new AbortController();
  const target: { stream?: Duplex } = {};
  channel.listen({
    // Nothing is sent before the stream is there.
    onData: async (chunk) => {
      const { stream } = target;
      if (!stream || stream.write(chunk)) return;
      await Promise.race([
        new Promise((resolve) => stream.once('drain', resolve)),
        finished(stream).catch(() => undefined),
      ]);
    },
    onEnd: () => {
      target.stream?.end();
    },
    onClose: () => {
      aborting.abort();
      target.stream?.destroy();
    },
  });
  const connection = await holder.acquire();
  if (!connection.forward) {
    throw new HpcrunError('FORWARD_REFUSED', `${connection.description} cannot forward ports`, {
      hint: 'Another transport can: see docs/configuration.md.',
    });
  }
  const stream = await connection.forward(host, port, aborting.signal);
  target.stream = stream;
  reply(channel, { type: 'done' });
  for await (const chunk of stream as AsyncIterable<Buffer>) await channel.write(chunk);
  channel.end();
}

/** The first to come logs in, with its own terminal to ask on; others wait for that. */
async function serveLogin(
  channel: Channel,
  { columns }: Extract<Request, { kind: 'login' }>,
  { holder, end }: ServerInputs,
): Promise<void> {
  const isFirst = !holder.hasBegun;
  let settle: { resolve: (answer: string) => void; reject: (error: Error) => void } | undefined;
  let isOver = false;
  let isGone = false;
  channel.listen({
    onMessage: (message) => {
      const answer = answerSchema.safeParse(message);
      if (!answer.success) return;
      if (answer.data.type === 'answer') settle?.resolve(answer.data.answer);
      else settle?.reject(errorFrom(answer.data));
    },
    onClose: () => {
      isGone = true;
      settle?.reject(interrupted());
      if (isFirst && !isOver) end();
    },
  });
  const prompter: Prompter = {
    columns,
    ask: (question, { secret }) =>
      new Promise((resolve, reject) => {
        if (isGone) throw interrupted();
        settle = { resolve, reject };
        reply(channel, { type: 'ask', question, secret });
      }),
    tell: (text) => {
      reply(channel, { type: 'tell', text });
    },
  };
  try {
    await (isFirst ? holder.login(prompter) : holder.acquire());
    reply(channel, { type: 'done' });
  } catch (error) {
    reply(channel, failureOf(error));
    if (isFirst) end();
  } finally {
    isOver = true;
  }
}
