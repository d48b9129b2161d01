import { createConnection } from 'node:net';
import { HpcrunError } from '../errors.js';

const bufferBytes = 1 << 20;

// Less room than this at a buffer's end is not worth a read.
const leastReadBytes = 128 << 10;

const answerTimeoutMs = 120_000;

const headEnd = '\r\n\r\n';

/** A body that is read piece by piece. */
export interface EngineBody extends AsyncIterable<Buffer> {
  destroy(): void;
}

/**
 * The body of `GET path` of the Docker Engine API, read straight from the engine's Unix socket: on the way through the
 * command-line client, each byte of a large answer is copied twice more. A piece is good until the next one is asked for,
 * then its memory is used again. HTTP/1.0, so that the body comes as it is and ends with the connection: whoever reads
 * it must know its end by itself, as a tar does. Throws ENGINE_FAILED with the engine's own message (Docker Engine API,
 * ErrorResponse).
 */
export async function readFromEngine(socketPath: string, path: string, signal: AbortSignal): Promise<EngineBody> {
  const { status, body } = await get(socketPath, path, signal);
  if (status === 200) return body;
  const said = (await readAll(body)).trim();
  throw new HpcrunError('ENGINE_FAILED', `Docker refused ${path} with status ${status}: ${said}`, {
    hint: 'Check with "docker info".',
  });
}

/** The whole answer to `GET path`, for short ones. Throws ENGINE_FAILED where there is none. */
export async function askEngine(
  socketPath: string,
  path: string,
  signal: AbortSignal,
): Promise<{ status: number; text: string }> {
  const { status, body } = await get(socketPath, path, signal);
  return { status, text: await readAll(body) };
}

async function readAll(body: EngineBody): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces).toString('utf8');
}

async function get(
  socketPath: string,
  path: string,
  signal: AbortSignal,
): Promise<{ status: number; body: EngineBody }> {
  const reader = new SocketReader(socketPath, `GET ${path} HTTP/1.0\r\nHost: docker\r\nAccept: */*\r\n\r\n`, signal);
  const timer = setTimeout(() => {
    reader.destroy(new Error(`nothing within ${answerTimeoutMs / 1000} s`));
  }, answerTimeoutMs);
  try {
    const first = await reader.next();
    const end = first?.indexOf(headEnd) ?? -1;
    if (!first || end === -1) throw noAnswer('its answer is not HTTP');
    const status = Number(/^HTTP\/1\.\d (\d{3})/.exec(first.toString('latin1', 0, end))?.[1]);
    const begin = first.subarray(end + headEnd.length);
    const body = {
      destroy: () => {
        reader.destroy();
      },
      async *[Symbol.asyncIterator]() {
        for (let piece: Buffer | undefined = begin; piece; piece = await reader.next()) yield piece;
      },
    };
    return { status, body };
  } catch (error) {
    reader.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Reads a socket into a few buffers that are used again and again: a new one for each read would be much to collect. */
class SocketReader {
  private filling: Buffer = Buffer.allocUnsafeSlow(bufferBytes);
  private filled = 0;
  private readonly ready: Buffer[] = [];
  private inUse: Buffer | undefined;
  private readonly free: Buffer[] = [];
  private isFirst = true;
  private ended = false;
  private failure: Error | undefined;
  private wake: (() => void) | undefined;
  private readonly socket;

  constructor(path: string, request: string, signal: AbortSignal) {
    this.socket = createConnection({
      path,
      signal,
      // Node asks for the next buffer right after each read, so that buffers can be changed there and nowhere else.
      onread: { buffer: () => this.filling.subarray(this.filled), callback: (bytes) => this.take(bytes) },
    });
    this.socket.on('error', (error) => {
      this.failure ??= error;
      this.wake?.();
    });
    for (const event of ['end', 'close'] as const) {
      this.socket.on(event, () => {
        this.end();
      });
    }
    this.socket.write(request);
  }

  /** The next piece, which gives the memory of the one before back; undefined at the end. */
  async next(): Promise<Buffer | undefined> {
    if (this.inUse) this.free.push(this.inUse);
    this.inUse = undefined;
    while (this.ready.length === 0 && !this.ended && !this.failure) {
      this.socket.resume();
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    if (this.failure) throw noAnswer(this.failure.message, this.failure);
    const piece = this.ready.shift();
    this.inUse = piece;
    this.socket.resume();
    return piece;
  }

  destroy(error?: Error): void {
    this.socket.destroy(error);
  }

  /** Takes note of a read; false stops reading until a piece has been taken away. */
  private take(bytes: number): boolean {
    this.filled += bytes;
    // The head comes alone, before the engine has begun to send.
    const isHead = this.isFirst && this.filling.subarray(0, this.filled).includes(headEnd);
    if (isHead || bufferBytes - this.filled < leastReadBytes) this.handOver();
    return this.ready.length < 2;
  }

  private handOver(): void {
    this.isFirst = false;
    this.ready.push(this.filling.subarray(0, this.filled));
    const next = this.free.pop();
    this.filling = next ? Buffer.from(next.buffer) : Buffer.allocUnsafeSlow(bufferBytes);
    this.filled = 0;
    this.wake?.();
  }

  private end(): void {
    if (this.ended) return;
    if (this.filled > 0) this.handOver();
    this.ended = true;
    this.wake?.();
  }
}

function noAnswer(why: string, cause?: Error): HpcrunError {
  return new HpcrunError('ENGINE_FAILED', `the Docker engine did not answer: ${why}`, {
    hint: 'Check with "docker version".',
    cause,
  });
}
