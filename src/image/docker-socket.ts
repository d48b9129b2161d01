import { createConnection, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { HpcrunError } from '../errors.js';

const maximumHeadBytes = 64 << 10;

/**
 * The body of `GET path` of the Docker Engine API, read straight from the engine's Unix socket: on the way through the
 * command-line client, each byte of a large answer is copied twice more. HTTP/1.0, so that the body comes as it is and
 * ends with the connection: whoever reads it must know its end by itself, as a tar does. Throws ENGINE_FAILED with the
 * engine's own message (Docker Engine API, ErrorResponse).
 */
export async function readFromEngine(socketPath: string, path: string, signal: AbortSignal): Promise<Readable> {
  const socket = createConnection({ path: socketPath, signal });
  // Whoever reads the body sees its errors; until then they end the wait for the head.
  socket.on('error', () => undefined);
  socket.write(`GET ${path} HTTP/1.0\r\nHost: docker\r\nAccept: */*\r\n\r\n`);
  const head = await readHead(socket);
  const status = Number(/^HTTP\/1\.\d (\d{3})/.exec(head)?.[1]);
  if (status === 200) return socket;
  socket.setEncoding('utf8');
  let body = '';
  for await (const text of socket) if (body.length < maximumHeadBytes) body += String(text);
  throw new HpcrunError('ENGINE_FAILED', `Docker refused ${path} with status ${status}: ${body.trim()}`, {
    hint: 'Check with "docker info".',
  });
}

/** Reads as far as the empty line; what follows it stays in the stream. */
async function readHead(socket: Socket): Promise<string> {
  let head = Buffer.alloc(0);
  for (;;) {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) {
      await readable(socket);
      continue;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end !== -1) {
      const rest = head.subarray(end + 4);
      if (rest.length > 0) socket.unshift(rest);
      return head.toString('latin1', 0, end);
    }
    if (head.length > maximumHeadBytes) throw noAnswer('its answer is not HTTP');
  }
}

async function readable(socket: Socket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const settle = (error?: Error) => {
      socket.off('readable', onReadable).off('error', settle).off('close', onClose);
      if (error) reject(noAnswer(error.message, error));
      else resolve();
    };
    const onReadable = () => {
      settle();
    };
    const onClose = () => {
      settle(new Error('it closed the connection'));
    };
    socket.on('readable', onReadable).on('error', settle).on('close', onClose);
    if (socket.destroyed) onClose();
  });
}

function noAnswer(why: string, cause?: Error): HpcrunError {
  return new HpcrunError('ENGINE_FAILED', `the Docker engine did not answer: ${why}`, {
    hint: 'Check with "docker version".',
    cause,
  });
}
