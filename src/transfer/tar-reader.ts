import { HpcrunError } from '../errors.js';

const blockBytes = 512;
const longestNameBytes = 1 << 16;

/** What a tar says of one entry. */
export interface TarEntry {
  name: string;
  sizeBytes: number;
  /** `0` file, `1` hard link, `2` symlink, `3` `4` `6` devices and fifo, `5` directory. */
  type: string;
}

/** Where a tar's entries go: for each, `begin`, then its content in pieces, then `end`. */
export interface TarSink {
  begin(entry: TarEntry): void;
  /** The piece may be kept: nobody writes into it. */
  data(piece: Buffer): void;
  end(): void;
}

/**
 * Reads a tar in GNU's format as it comes, in pieces of any size (GNU tar manual, "Basic Tar Format"). Everything is done
 * before `push` returns: with ten thousand small files, streams cost more than the files. Throws TRANSFER_FAILED for
 * what is no such tar.
 */
export class TarReader {
  private header: Buffer = Buffer.alloc(0);
  private longName: Buffer[] | undefined;
  private name: string | undefined;
  private isInContent = false;
  private contentLeft = 0;
  private paddingLeft = 0;
  private hasEnded = false;

  constructor(private readonly sink: TarSink) {}

  /** Whether the tar's end has been seen. */
  get isComplete(): boolean {
    return this.hasEnded;
  }

  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0 && !this.hasEnded) rest = rest.subarray(this.take(rest));
  }

  /** Returns how many bytes were used. */
  private take(chunk: Buffer): number {
    if (this.contentLeft > 0) {
      const used = Math.min(this.contentLeft, chunk.length);
      const piece = used === chunk.length ? chunk : chunk.subarray(0, used);
      if (this.longName) this.longName.push(piece);
      else this.sink.data(piece);
      this.contentLeft -= used;
      if (this.contentLeft === 0) this.endContent();
      return used;
    }
    if (this.paddingLeft > 0) {
      const used = Math.min(this.paddingLeft, chunk.length);
      this.paddingLeft -= used;
      return used;
    }
    const used = Math.min(blockBytes - this.header.length, chunk.length);
    this.header = used === blockBytes ? chunk.subarray(0, used) : Buffer.concat([this.header, chunk.subarray(0, used)]);
    if (this.header.length === blockBytes) {
      const { header } = this;
      this.header = Buffer.alloc(0);
      this.readHeader(header);
    }
    return used;
  }

  private readHeader(header: Buffer): void {
    if (header[0] === 0) {
      this.hasEnded = true;
      return;
    }
    if (!hasRightChecksum(header)) throw malformed('a header is damaged');
    const sizeBytes = readNumber(header, 124, 12);
    const type = header[156] === 0 ? '0' : String.fromCharCode(header[156] ?? 0);
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw malformed('a size is none');
    // Only files and long names are followed by content; a size that another entry has says nothing.
    const contentBytes = '0L'.includes(type) ? sizeBytes : 0;
    this.contentLeft = contentBytes;
    this.paddingLeft = (blockBytes - (contentBytes % blockBytes)) % blockBytes;
    if (type === 'L') {
      if (sizeBytes > longestNameBytes) throw malformed('a name is too long');
      this.longName = [];
    } else if (type !== 'K') {
      const name = this.name ?? readText(header, 0, 100);
      this.name = undefined;
      this.isInContent = true;
      this.sink.begin({ name, sizeBytes, type });
    } else throw malformed('a link was not asked for');
    if (contentBytes === 0) this.endContent();
  }

  private endContent(): void {
    if (this.longName) {
      const bytes = Buffer.concat(this.longName);
      this.longName = undefined;
      this.name = readText(bytes, 0, bytes.length);
    } else if (this.isInContent) {
      this.isInContent = false;
      this.sink.end();
    }
  }
}

function readText(bytes: Buffer, offset: number, length: number): string {
  const end = bytes.indexOf(0, offset);
  return bytes.toString('utf8', offset, end === -1 || end > offset + length ? offset + length : end);
}

/** Octal digits, or big-endian bytes behind a set first bit. */
function readNumber(header: Buffer, offset: number, length: number): number {
  const field = header.subarray(offset, offset + length);
  if (((field[0] ?? 0) & 0x80) !== 0) {
    return field.subarray(1).reduce((value, byte) => value * 256 + byte, (field[0] ?? 0) & 0x7f);
  }
  const match = /^ *([0-7]+)[ \0]/.exec(field.toString('latin1'));
  return match?.[1] === undefined ? Number.NaN : Number.parseInt(match[1], 8);
}

function hasRightChecksum(header: Buffer): boolean {
  let sum = 0;
  for (let index = 0; index < blockBytes; index += 1) {
    sum += index >= 148 && index < 156 ? 0x20 : (header[index] ?? 0);
  }
  return readNumber(header, 148, 8) === sum;
}

function malformed(what: string): HpcrunError {
  return new HpcrunError('TRANSFER_FAILED', `what came from the cluster cannot be read: ${what}`, {
    hint: 'Run the command again. If it happens twice, another program answers there in place of GNU tar.',
  });
}
