import { createHash } from 'node:crypto';

/** Bounds of a chunk's length, and what most are near to; bytes. docs/benchmarks.md has the measurements behind them. */
export const chunkBytes = { minimum: 16 << 10, usual: 64 << 10, maximum: 256 << 10 } as const;

/** Length of a chunk's id: the first bytes of the sha256 of its content. An image is verified by its whole digest. */
export const idBytes = 16;

/** A piece of a file whose ends depend on its content alone. */
export interface Chunk {
  length: number;
  /** `idBytes` bytes. */
  id: Buffer;
}

// A step of the hash moves all before it one bit up, out of 32: it has forgotten what is further back than this.
const windowBytes = 32;

// Normalised chunking (FastCDC, Xia et al., USENIX ATC 2016): an end is less likely before the usual length and more
// likely behind it. The bits are the highest ones, on which every byte of the window has its say.
const maskBefore = 0xffffc000 | 0;
const maskBehind = 0xfffc0000 | 0;

/**
 * Cuts a stream of bytes into chunks whose ends depend on the bytes right before them, so that a change to a file changes
 * the chunks it touches and few others. However the stream comes in pieces, the chunks are the same.
 */
export class Chunker {
  private readonly gear = makeGear();
  private hash = createHash('sha256');
  private rolling = 0;
  private length = 0;

  constructor(private readonly onChunk: (chunk: Chunk) => void) {}

  push(bytes: Buffer): void {
    for (let from = 0; from < bytes.length;) {
      const limit = Math.min(bytes.length, from + chunkBytes.maximum - this.length);
      const found = this.findEnd(bytes, from, limit);
      const end = found ?? limit;
      this.hash.update(bytes.subarray(from, end));
      this.length += end - from;
      from = end;
      if (found !== undefined || this.length === chunkBytes.maximum) this.finish();
    }
  }

  /** The last chunk ends where the stream does. */
  end(): void {
    if (this.length > 0) this.finish();
  }

  private finish(): void {
    this.onChunk({ length: this.length, id: this.hash.digest().subarray(0, idBytes) });
    this.hash = createHash('sha256');
    this.rolling = 0;
    this.length = 0;
  }

  /** Behind which byte in front of `limit` the present chunk, of which `bytes[from]` is the next byte, ends by its content. */
  private findEnd(bytes: Buffer, from: number, limit: number): number | undefined {
    const { gear } = this;
    let { rolling } = this;
    const start = from - this.length;
    const upTo = (length: number) => Math.min(limit, Math.max(from, start + length));
    let at = upTo(chunkBytes.minimum - windowBytes);
    for (const end = upTo(chunkBytes.minimum); at < end; at += 1)
      rolling = ((rolling << 1) + gearOf(gear, bytes, at)) | 0;
    for (const end = upTo(chunkBytes.usual); at < end; at += 1) {
      rolling = ((rolling << 1) + gearOf(gear, bytes, at)) | 0;
      if ((rolling & maskBefore) === 0) return at + 1;
    }
    for (; at < limit; at += 1) {
      rolling = ((rolling << 1) + gearOf(gear, bytes, at)) | 0;
      if ((rolling & maskBehind) === 0) return at + 1;
    }
    this.rolling = rolling;
    return undefined;
  }
}

// The indices are always within bounds, which the types cannot know.
function gearOf(gear: Int32Array, bytes: Buffer, at: number): number {
  return gear[bytes[at] ?? 0] ?? 0;
}

/** One random number for each byte. Chunks of two files can only be compared if they were cut with the same numbers. */
function makeGear(): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) =>
    createHash('sha256').update(Buffer.of(byte)).digest().readInt32LE(0),
  );
}
