import type { Duplex } from 'node:stream';

const lineBytes = 4096;

/**
 * The first line that comes through a stream; what came after it can still be read. Rejects when there is no line within the
 * time, when it is longer than 4 KiB, or when the stream ends.
 */
export function readLine(stream: Duplex, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let read: Buffer = Buffer.alloc(0);
    const finish = (act: () => void) => {
      clearTimeout(timer);
      stream.off('data', onData);
      stream.off('close', onClose);
      stream.off('end', onClose);
      stream.pause();
      act();
    };
    const fail = (message: string) => {
      finish(() => {
        reject(new Error(message));
      });
    };
    const onData = (chunk: Buffer) => {
      read = Buffer.concat([read, chunk]);
      const end = read.indexOf('\n');
      if (end > lineBytes || (end === -1 && read.length > lineBytes)) fail('the first line is too long');
      else if (end !== -1) {
        finish(() => {
          if (read.length > end + 1) stream.unshift(read.subarray(end + 1));
          resolve(read.toString('utf8', 0, end));
        });
      }
    };
    const onClose = () => {
      fail('it was closed');
    };
    const timer = setTimeout(() => {
      fail(`no answer within ${Math.round(timeoutMs / 1000)} s`);
    }, timeoutMs);
    stream.on('data', onData);
    stream.once('close', onClose);
    stream.once('end', onClose);
  });
}

/** A line as `readLine` reads it, parsed; undefined if it is not JSON. */
export function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
