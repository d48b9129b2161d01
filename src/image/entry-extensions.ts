import { parsePaxRecords, renderPaxRecords, type PaxRecord } from './pax.js';
import { parseSparseLayout, type SparseLayout } from './sparse.js';
import { renderExtension } from './tar-header.js';

// mksquashfs skips these in front of names and, up to 4.5, of what pax says symlinks lead to.
const skippedByMksquashfs = /^(?:\.?\.?\/)+/;

/** What headers in front of an entry say of it. Text is one character a byte. */
export class EntryExtensions {
  path: string | undefined;
  linkTarget: string | undefined;
  size: number | undefined;
  uid: number | undefined;
  gid: number | undefined;
  /** Seconds since 1970, rounded down. */
  mtime: number | undefined;
  /** Whether the entry has file capabilities (xattr(7), security.capability). */
  hasCapability = false;
  /** Whether mksquashfs 4.5 would understand something else than what is meant. */
  isMisread = false;
  private records: PaxRecord[] = [];

  /** `globals` are the records of pax headers for the whole tar. */
  constructor(globals: readonly PaxRecord[]) {
    if (globals.length > 0) {
      this.add(globals);
      this.isMisread = true;
    }
  }

  /** Takes in the body of a header of type `x`, `L` or `K`. False if it is malformed. */
  read(type: string, body: Buffer): boolean {
    if (type === 'x') {
      const records = parsePaxRecords(body);
      if (records) this.add(records);
      return records !== undefined;
    }
    const end = body.indexOf(0);
    const text = body.toString('latin1', 0, end === -1 ? body.length : end);
    if (type === 'L') this.path = text;
    else this.linkTarget = text;
    return true;
  }

  private add(records: readonly PaxRecord[]): void {
    for (const record of records) {
      const [key, value] = record;
      if (key === 'path') this.path = value;
      else if (key === 'linkpath') {
        this.linkTarget = value;
        if (skippedByMksquashfs.test(value)) this.isMisread = true;
      } else if (key === 'mtime') {
        this.mtime = Math.floor(Number(value));
        // It insists on a fraction, and squashfs keeps 32 bits without a sign.
        if (!value.includes('.') || !(this.mtime >= 0 && this.mtime <= 0xffffffff)) this.isMisread = true;
      } else {
        if (key === 'size') this.size = Number(value);
        else if (key === 'uid') this.uid = Number(value);
        else if (key === 'gid') this.gid = Number(value);
        else if (key === 'SCHILY.xattr.security.capability') this.hasCapability = true;
        this.records.push(record);
      }
    }
  }

  sparseLayout(): SparseLayout | undefined {
    return this.records.length === 0 ? undefined : parseSparseLayout(this.records);
  }

  /**
   * The headers anew, in the forms that mksquashfs reads as they are meant: names and link targets as GNU headers, and
   * those first, since it takes a `size` for the size of any header that follows. The time is left to the entry itself.
   */
  render({
    path,
    linkTarget,
    isSparse,
  }: {
    path: string | undefined;
    linkTarget: string | undefined;
    isSparse: boolean;
  }): Buffer[] {
    const records = isSparse
      ? this.records.filter(([key]) => key !== 'size' && !key.startsWith('GNU.sparse.'))
      : this.records;
    return [
      ...(linkTarget === undefined ? [] : [renderExtension('K', linkTarget)]),
      ...(path === undefined ? [] : [renderExtension('L', path)]),
      ...(records.length === 0 ? [] : [renderExtension('x', renderPaxRecords(records))]),
    ];
  }
}

/** Where a hard link leads: mksquashfs compares with names, from which it has skipped what stands in front. */
export function hardLinkTarget(target: string): string {
  return target.replace(skippedByMksquashfs, '');
}
