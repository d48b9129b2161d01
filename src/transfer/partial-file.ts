import { createHash, type Hash } from 'node:crypto';
import { closeSync, constants, futimesSync, openSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { isSystemError, throwIfInterrupted } from '../errors.js';
import { writeAll } from './arrivals.js';
import { resumableNames } from './partial-name.js';
import { PullJournal, type Checkpoint } from './pull-journal.js';
import type { RemoteFile } from './remote-file.js';
import { checkpointBytes, planSections, type Section } from './sections.js';

const writeBytes = 1 << 20;

/** A large file on its way here: its parts in a file beside its target, and a journal of them that outlives this process. */
export class PartialFile {
  readonly path: string;
  readonly sections: Section[];
  private readonly journalPath: string;
  private readonly journal: PullJournal;
  private descriptor: number | undefined;

  constructor(
    readonly file: RemoteFile,
    root: string,
  ) {
    const names = resumableNames(file);
    this.path = join(root, names.partial);
    this.journalPath = join(root, names.journal);
    this.journal = new PullJournal(this.journalPath);
    this.sections = planSections(file.sizeBytes);
  }

  /** Whether another hpcrun on this machine, or perhaps on another one, is bringing this file here. */
  isTaken(): boolean {
    return this.journal.isTaken();
  }

  /**
   * Takes up what an earlier pull has left, as far as it is on the disk. Returns one receiver for each section. Throws
   * INTERRUPTED.
   */
  async open(signal: AbortSignal): Promise<SectionReceiver[]> {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    const descriptor = openSync(this.path, flags, this.file.isExecutable ? 0o777 : 0o666);
    this.descriptor = descriptor;
    const known = this.journal.read();
    const receivers: SectionReceiver[] = [];
    for (const section of this.sections) {
      const checkpoint = known.get(section.index);
      const receiver = new SectionReceiver(section, descriptor, this.journal);
      const isThere = checkpoint !== undefined && (await receiver.resume(checkpoint, signal));
      receivers.push(isThere ? receiver : new SectionReceiver(section, descriptor, this.journal));
    }
    this.journal.begin(receivers.flatMap((receiver) => receiver.checkpoint() ?? []));
    return receivers;
  }

  /** To be called when all of it is here: what is left to do is to give it its name. */
  finish(): void {
    if (this.descriptor !== undefined) futimesSync(this.descriptor, this.file.mtime, this.file.mtime);
    this.close();
    rmSync(this.journalPath, { force: true });
  }

  close(): void {
    if (this.descriptor !== undefined) closeSync(this.descriptor);
    this.descriptor = undefined;
  }

  /** Removes what is here of it: it is of no use. */
  discard(): void {
    this.close();
    rmSync(this.path, { force: true });
    rmSync(this.journalPath, { force: true });
  }
}

/** Writes one section to its place as it comes. */
export class SectionReceiver {
  private hash: Hash = createHash('sha256');
  /** On the disk. */
  private writtenBytes = 0;
  /** Copied together here: of the packets that come nothing is kept, which spares the garbage collector most of its work. */
  private pending: Buffer | undefined;
  private pendingBytes = 0;

  constructor(
    readonly section: Section,
    private readonly descriptor: number,
    private readonly journal: PullJournal,
  ) {}

  get receivedBytes(): number {
    return this.writtenBytes + this.pendingBytes;
  }

  get isComplete(): boolean {
    return this.receivedBytes === this.section.length;
  }

  /** Reads what an earlier pull has written; false if it is not that, and then this receiver is of no use any more. */
  async resume({ bytes, sha256 }: Checkpoint, signal: AbortSignal): Promise<boolean> {
    if (bytes > this.section.length) return false;
    const buffer = Buffer.allocUnsafe(writeBytes);
    while (this.writtenBytes < bytes) {
      const wanted = Math.min(buffer.length, bytes - this.writtenBytes);
      const read = this.read(buffer, wanted);
      if (read === 0) return false;
      this.hash.update(buffer.subarray(0, read));
      this.writtenBytes += read;
      // Gigabytes may be read here while a connection has to be kept alive.
      await setImmediate();
      throwIfInterrupted(signal);
    }
    return this.digest() === sha256;
  }

  private read(buffer: Buffer, length: number): number {
    try {
      return readSync(this.descriptor, buffer, 0, length, this.section.from + this.writtenBytes);
    } catch (error) {
      // A block of the disk that cannot be read comes anew.
      if (isSystemError(error, 'EIO')) return 0;
      throw error;
    }
  }

  /** What lies behind the section's end, as of a file that has grown, is passed over. */
  push(chunk: Buffer): void {
    let rest = chunk.subarray(0, this.section.length - this.receivedBytes);
    while (rest.length > 0) {
      this.pending ??= Buffer.allocUnsafeSlow(writeBytes);
      const room = Math.min(writeBytes - this.pendingBytes, checkpointBytes - (this.receivedBytes % checkpointBytes));
      const piece = rest.subarray(0, room);
      rest = rest.subarray(piece.length);
      piece.copy(this.pending, this.pendingBytes);
      this.pendingBytes += piece.length;
      const isCheckpoint = this.receivedBytes % checkpointBytes === 0 || this.isComplete;
      if (this.pendingBytes === writeBytes || isCheckpoint) this.write(this.pending.subarray(0, this.pendingBytes));
      if (this.isComplete) this.pending = undefined;
      if (isCheckpoint)
        this.journal.append({ section: this.section.index, bytes: this.writtenBytes, sha256: this.digest() });
    }
  }

  private write(bytes: Buffer): void {
    this.hash.update(bytes);
    writeAll(this.descriptor, [bytes], this.section.from + this.writtenBytes);
    this.writtenBytes += bytes.length;
    this.pendingBytes = 0;
  }

  /** Hex sha256 of what has arrived so far. */
  digest(): string {
    return this.hash.copy().digest('hex');
  }

  checkpoint(): Checkpoint | undefined {
    if (this.writtenBytes === 0) return undefined;
    return { section: this.section.index, bytes: this.writtenBytes, sha256: this.digest() };
  }
}
