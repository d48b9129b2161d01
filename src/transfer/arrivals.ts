import { closeSync, futimesSync, openSync, renameSync, rmSync, symlinkSync, writevSync } from 'node:fs';
import { join } from 'node:path';
import { HpcrunError, isSystemError, messageOf } from '../errors.js';
import { partialName, thisPuller } from './partial-name.js';
import type { RemoteFile } from './remote-file.js';
import { splitRemotePath, type TargetDirectory } from './safe-path.js';

/** What became of the files of a pull. */
export interface PullResult {
  files: number;
  bytes: number;
  /** Names that are not written here, whatever is tried, with why. */
  refused: { path: string; why: string }[];
  /** Files that did not come this time and are tried again by the next pull, with why. */
  failed: { path: string; why: string }[];
  /** Paths of files that somebody was writing to. */
  beingWritten: string[];
}

/** Puts files that have arrived under their final names, and takes note of those that have not. */
export class Arrivals {
  readonly result: PullResult = { files: 0, bytes: 0, refused: [], failed: [], beingWritten: [] };
  private readonly puller = thisPuller();
  private partials = 0;

  constructor(readonly target: TargetDirectory) {}

  /** A path for what is not complete yet, on the disk of the target directory. */
  temporaryPath(): string {
    this.partials += 1;
    return join(this.target.root, partialName(this.puller, this.partials));
  }

  refuse(path: string, why: string): void {
    this.result.refused.push({ path, why });
  }

  fail(path: string, why: string): void {
    this.result.failed.push({ path, why });
  }

  placeLink(file: RemoteFile): void {
    const temporary = this.temporaryPath();
    symlinkSync(file.linkTarget, temporary);
    this.place(temporary, file);
  }

  /** Gives a complete and verified file its name. Throws TRANSFER_FAILED if a directory of this name is here. */
  place(temporary: string, file: RemoteFile): void {
    const path = this.target.prepare(splitRemotePath(file.path) ?? []);
    if (path === undefined) {
      rmSync(temporary, { force: true });
      this.refuse(file.path, 'a directory on its way is a link or a file here');
      return;
    }
    try {
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      if (!isSystemError(error, 'EISDIR') && !isSystemError(error, 'ENOTEMPTY')) throw error;
      throw new HpcrunError('TRANSFER_FAILED', `${path} is a directory here and a file on the cluster`, {
        hint: 'Move it away, or pull into another directory with --to.',
      });
    }
    this.result.files += 1;
    if (file.type === 'file') this.result.bytes += file.sizeBytes;
  }
}

/** Opens a new file with the mode that `file` is to have: executable where it is, within this machine's umask. */
export function openNew(path: string, file: RemoteFile): number {
  return openSync(path, 'wx', file.isExecutable ? 0o777 : 0o666);
}

/** Writes a whole small file. */
export function writeWhole(path: string, file: RemoteFile, pieces: Buffer[]): void {
  const descriptor = openNew(path, file);
  try {
    writeAll(descriptor, pieces, 0);
    futimesSync(descriptor, file.mtime, file.mtime);
  } finally {
    closeSync(descriptor);
  }
}

/** Writes the pieces one after the other, from `offset` on. */
export function writeAll(descriptor: number, pieces: readonly Buffer[], offset: number): void {
  let left = pieces.filter((piece) => piece.length > 0);
  let position = offset;
  while (left.length > 0) {
    // IOV_MAX is 1024 on Linux and macOS.
    let written = writevSync(descriptor, left.slice(0, 1024), position);
    position += written;
    while (left[0] !== undefined && written >= left[0].length) {
      written -= left[0].length;
      left = left.slice(1);
    }
    if (left[0] !== undefined && written > 0) left = [left[0].subarray(written), ...left.slice(1)];
  }
}

/** What the disk here says, in a user's words; every other error stays what it is. */
export function asTransferError(error: unknown, directory: string): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const why: Record<string, string> = {
    ENOSPC: 'the disk is full',
    EDQUOT: 'the quota is used up',
    EACCES: 'it may not be written to',
    EROFS: 'it is read-only',
    ENOTDIR: 'a directory on its way is a file',
    EEXIST: 'a directory on its way is a file',
    ENAMETOOLONG: 'a name is too long for this disk',
    EXDEV: 'a directory in it is on another disk',
  };
  const said = why[code];
  if (error instanceof HpcrunError || said === undefined) return error;
  return new HpcrunError('TRANSFER_FAILED', `cannot write to ${directory}: ${said} (${messageOf(error)})`, {
    hint: 'What has arrived is kept. Mend it and run the command again, or choose another directory with --to.',
    cause: error,
  });
}
