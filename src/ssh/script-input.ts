import type { Writable } from 'node:stream';

/**
 * What a script reads. Until the script is known to have started, everything that was sent is kept, so that it can be sent
 * again: a server may refuse the session, or a start-up file replace the shell.
 */
export class ScriptInput {
  private readonly chunks: AsyncIterator<Buffer>;
  private kept: Buffer[] | undefined = [];
  private next: Promise<IteratorResult<Buffer>> | undefined;
  private target: Writable | undefined;

  /** Whether it is known that there is nothing to read. */
  readonly isEmpty: boolean;

  constructor(source: Buffer | AsyncIterable<Buffer> | undefined) {
    this.isEmpty = source === undefined || (Buffer.isBuffer(source) && source.length === 0);
    this.chunks = source === undefined || Buffer.isBuffer(source) ? once(source) : source[Symbol.asyncIterator]();
  }

  /** From now on nothing is kept. */
  commit(): void {
    this.kept = undefined;
  }

  /** Nothing more is sent: a source that holds something open lets go of it. Never fails. */
  async close(): Promise<void> {
    this.target = undefined;
    // What it says at its end was said to whoever was sending.
    await this.chunks.return?.().catch(() => undefined);
  }

  /**
   * Writes all of the input and ends the target, as fast as it takes it. Returns early when the target closes, or when the
   * input is sent to another one. Fails when the source does.
   */
  async send(target: Writable): Promise<void> {
    this.target = target;
    for (const chunk of this.kept ?? []) await write(target, chunk);
    for (;;) {
      this.next ??= this.chunks.next();
      const result = await this.next;
      if (this.target !== target || target.destroyed) return;
      this.next = undefined;
      if (result.done) {
        target.end();
        return;
      }
      // Whoever made the chunk may use its memory again.
      this.kept?.push(Buffer.from(result.value));
      await write(target, result.value);
    }
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- the iterator of a stream is asynchronous
async function* once(chunk: Buffer | undefined): AsyncGenerator<Buffer> {
  if (chunk !== undefined && chunk.length > 0) yield chunk;
}

/** Settles when the chunk has been taken, or when nobody is there who could take it. */
async function write(target: Writable, chunk: Buffer): Promise<void> {
  if (target.destroyed || target.writableEnded) return;
  await new Promise<void>((resolve) => {
    const settle = () => {
      target.off('close', settle);
      resolve();
    };
    target.once('close', settle);
    // The reason why it could not be taken is the end of the channel's to tell.
    target.write(chunk, settle);
  });
}
