import { HpcrunError } from '../errors.js';
import { EntryExtensions } from './entry-extensions.js';
import { parsePaxRecords, type PaxRecord } from './pax.js';
import type { SparseExpander } from './sparse.js';
import { blockBytes, isEndBlock, paddedBytes, parseTarHeader, type TarHeader } from './tar-header.js';

// A pax header holds names and extended attributes; more than this is not one.
const maximumHeldBytes = 16 << 20;

/** Wants to see the first `bytes` of a body, which must have as many. The bytes are good for the time of the call only. */
export interface BodyReader {
  bytes: number;
  read: (bytes: Buffer) => void;
}

/** What becomes of an entry, whose header may have been changed in place. */
export interface Verdict {
  isKept: boolean;
  /** In place of the extended headers before it; undefined for these as they came. */
  extended?: readonly Buffer[] | undefined;
  /** Follows the header, in place of a body, where the entry has none. */
  added?: Buffer | undefined;
  reader?: BodyReader | undefined;
  expander?: SparseExpander | undefined;
}

/** Judges an entry by its header, the headers in front of it, if any, and its size as stored. */
export type Judge = (
  block: Buffer,
  header: TarHeader,
  extensions: EntryExtensions | undefined,
  storedBytes: number,
) => Verdict;

const leftOut: Verdict = { isKept: false };

/** Takes a tar apart as it streams, whatever way it is cut, and passes on what a judge lets pass, without copying it. */
export class TarRewriter {
  private partial: Buffer = Buffer.alloc(0);
  private ended = false;
  private bodyLeft = 0;
  private current: Verdict = leftOut;
  private reading: { left: number; parts: Buffer[]; read: (bytes: Buffer) => void } | undefined;
  /** Records of pax headers for the whole tar. */
  private globals: PaxRecord[] = [];
  /** Headers that belong to the next entry, held back until it is judged, and what they say. */
  private held: Buffer[] = [];
  private heldBytes = 0;
  private extensions: EntryExtensions | undefined;

  constructor(private readonly judge: Judge) {}

  *push(incoming: Buffer): Generator<Buffer> {
    if (this.ended) return;
    let chunk = incoming;
    if (this.partial.length > 0) {
      chunk = Buffer.concat([this.partial, incoming]);
      this.partial = Buffer.alloc(0);
    }
    // chunk[from, at) is to be passed on and has not been yet.
    let from = 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.bodyLeft > 0) {
        const part = chunk.subarray(at, at + this.bodyLeft);
        at += part.length;
        this.bodyLeft -= part.length;
        if (this.reading) this.read(part);
        const { isKept, expander } = this.current;
        if (expander) yield* expander.push(part);
        if (!isKept || expander) from = at;
        if (expander && this.bodyLeft === 0) yield* expander.end();
        continue;
      }
      if (chunk.length - at < blockBytes) {
        this.partial = Buffer.from(chunk.subarray(at));
        break;
      }
      const block = chunk.subarray(at, at + blockBytes);
      if (isEndBlock(block)) {
        this.ended = true;
        break;
      }
      const before = this.readHeader(block);
      const { isKept, added, expander } = this.current;
      if (!isKept || before.length > 0) {
        if (at > from) yield chunk.subarray(from, at);
        from = isKept ? at : at + blockBytes;
        if (isKept) yield* before;
      }
      at += blockBytes;
      if (added || expander) {
        yield chunk.subarray(from, at);
        from = at;
        if (added) yield added;
        if (expander && this.bodyLeft === 0) yield* expander.end();
      }
    }
    if (at > from) yield chunk.subarray(from, at);
  }

  /** Throws CONVERSION_FAILED unless the end of the tar has come by. */
  assertEnded(): void {
    if (!this.ended) throw malformed('the export ended before its last entry');
  }

  /** Sets what becomes of the header and its body. Returns the headers that go before it. */
  private readHeader(block: Buffer): readonly Buffer[] {
    const header = parseTarHeader(block);
    if (Number.isNaN(header.size) || Number.isNaN(header.mode)) throw malformed('a header is not a tar header');
    switch (header.type) {
      case 'x':
      case 'L':
      case 'K':
      case 'g':
        this.holdExtended(block, header);
        return [];
      case 'S':
        throw malformed('it holds an old GNU sparse entry, which no engine writes');
      default:
        return this.judgeEntry(block, header);
    }
  }

  private judgeEntry(block: Buffer, header: TarHeader): readonly Buffer[] {
    const extensions = this.extensions ?? (this.globals.length > 0 ? new EntryExtensions(this.globals) : undefined);
    // Links and devices have no body, whatever their size field says.
    const storedBytes = /[123456]/.test(header.type) ? 0 : (extensions?.size ?? header.size);
    if (!Number.isSafeInteger(storedBytes) || storedBytes < 0) throw malformed('an extended header is malformed');
    const before = this.held;
    if (before.length > 0) this.held = [];
    this.heldBytes = 0;
    this.extensions = undefined;
    this.bodyLeft = paddedBytes(storedBytes);
    this.current = this.judge(block, header, extensions, storedBytes);
    if (this.current.reader) this.startReading(this.current.reader);
    return this.current.extended ?? before;
  }

  private holdExtended(block: Buffer, { type, size }: TarHeader): void {
    this.heldBytes += blockBytes + paddedBytes(size);
    if (this.heldBytes > maximumHeldBytes) throw malformed('an extended header is larger than 16 MiB');
    const head = Buffer.from(block);
    this.bodyLeft = paddedBytes(size);
    this.current = leftOut;
    this.startReading({
      bytes: this.bodyLeft,
      read: (padded) => {
        const body = padded.subarray(0, size);
        if (type === 'g') {
          this.heldBytes = 0;
          const records = parsePaxRecords(body);
          if (!records) throw malformed('an extended header is malformed');
          this.globals.push(...records.filter(([key]) => key !== 'comment'));
          return;
        }
        this.held.push(head, Buffer.from(padded));
        this.extensions ??= new EntryExtensions(this.globals);
        if (!this.extensions.read(type, body)) throw malformed('an extended header is malformed');
      },
    });
  }

  private startReading({ bytes, read }: BodyReader): void {
    if (bytes === 0) read(Buffer.alloc(0));
    else this.reading = { left: bytes, parts: [], read };
  }

  private read(part: Buffer): void {
    if (!this.reading) return;
    const { left, parts, read } = this.reading;
    const wanted = part.subarray(0, left);
    if (wanted.length === left) {
      this.reading = undefined;
      read(parts.length === 0 ? wanted : Buffer.concat([...parts, wanted]));
      return;
    }
    parts.push(Buffer.from(wanted));
    this.reading.left -= wanted.length;
  }
}

function malformed(problem: string): HpcrunError {
  return new HpcrunError('CONVERSION_FAILED', `the image's file system could not be read: ${problem}`, {
    hint: 'Run the command again; if it happens again, check the engine with "docker info" and its free disk space.',
  });
}
