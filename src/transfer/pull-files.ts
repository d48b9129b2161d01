import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isMissing, isSystemError } from '../errors.js';
import type { Connection } from '../ssh/connection.js';
import { Arrivals, asTransferError, type PullResult } from './arrivals.js';
import { isPartialName, journalOf, mayBeAlive, parsePartialName, resumableNames } from './partial-name.js';
import { PullJournal } from './pull-journal.js';
import type { PullTask } from './pull-task.js';
import type { RateLimit } from './rate-limit.js';
import type { RemoteFile } from './remote-file.js';
import { isLinkInside, splitRemotePath, TargetDirectory } from './safe-path.js';
import { findSameNames, tellsCase } from './same-name.js';
import { largeFileBytes } from './sections.js';

/** Of so many small files at most it is kept in mind what has come and what has been said of them: it bounds the memory. */
const filesAtOnce = 20_000;

/** A file of another machine's pull is taken for abandoned after so long. */
const abandonedMs = 24 * 60 * 60 * 1000;

/**
 * Brings files here: small ones in one stream, large ones in parallel and so that a broken pull is resumed. What comes is
 * not trusted: only what was asked for is written, below the target directory, through no link, under a temporary name
 * until its sha256 is the one the far side has read. Needs GNU tar and find on the far side. Throws TRANSFER_FAILED and
 * what a connection throws.
 *
 * @param from directory on the far side, absolute
 * @param files in the order they are brought
 * @param to target directory here, absolute
 */
export async function pullFiles(
  connection: Connection,
  from: string,
  files: readonly RemoteFile[],
  to: string,
  options: { live: boolean; limit: RateLimit; signal: AbortSignal; onProgress: (receivedBytes: number) => void },
): Promise<PullResult> {
  const target = new TargetDirectory(to);
  const arrivals = new Arrivals(target);
  let receivedBytes = 0;
  const task: PullTask = {
    connection,
    directory: from,
    arrivals,
    limit: options.limit,
    live: options.live,
    signal: options.signal,
    changed: ({ path }) => {
      arrivals.result.beingWritten.push(path);
    },
    onBytes: (bytes) => {
      receivedBytes += bytes;
      options.onProgress(receivedBytes);
    },
  };
  try {
    const wanted = refuseUnplaceable(files, target, arrivals);
    for (const file of wanted) if (file.type === 'symlink') arrivals.placeLink(file);
    const plain = wanted.filter(({ type }) => type === 'file');
    const { pullSmall } = await import('./pull-small.js');
    const small = plain.filter(({ sizeBytes }) => sizeBytes < largeFileBytes);
    for (let from = 0; from < small.length; from += filesAtOnce) {
      await pullSmall(task, small.slice(from, from + filesAtOnce));
    }
    const large = plain.filter(({ sizeBytes }) => sizeBytes >= largeFileBytes);
    if (large.length > 0) {
      const { pullLarge } = await import('./pull-large.js');
      await pullLarge(task, large);
    }
  } catch (error) {
    throw asTransferError(error, to);
  }
  return arrivals.result;
}

/** Those files that can be written here; the others are reported. */
function refuseUnplaceable(files: readonly RemoteFile[], target: TargetDirectory, arrivals: Arrivals): RemoteFile[] {
  const same = findSameNames(files.map(({ path }) => path));
  const probe = `.hpcrun-${randomBytes(6).toString('hex')}.part`;
  const isCaseBlind = same.size > 0 && !tellsCase(target.root, probe);
  return files.filter((file) => {
    const why = whyUnplaceable(file, target) ?? (isCaseBlind ? whySame(same.get(file.path)) : undefined);
    if (why === undefined) return true;
    arrivals.refuse(file.path, why);
    return false;
  });
}

function whySame(earlier: string | undefined): string | undefined {
  return earlier === undefined ? undefined : `this disk cannot tell its name from that of ${earlier}`;
}

function whyUnplaceable(file: RemoteFile, target: TargetDirectory): string | undefined {
  if (file.path.includes('\ufffd')) return 'its name is not UTF-8';
  const parts = splitRemotePath(file.path);
  if (parts === undefined) return 'its name cannot be a path here';
  if (isPartialName(basename(file.path))) return "its name is one of hpcrun's own";
  if (file.type === 'symlink' && !isLinkInside(file.path, file.linkTarget)) return 'it is a link out of the directory';
  if (target.prepare(parts) === undefined) return 'a directory on its way is a link or a file here';
  return undefined;
}

/**
 * Removes from a target directory what earlier pulls have left in it and nobody goes on with: partial files of processes
 * that are gone, and of large files that `files`, all there are on the far side, does not have in this state any more.
 */
export function removeAbandoned(directory: string, files: readonly RemoteFile[]): void {
  let names: string[];
  try {
    names = readdirSync(directory).filter(isPartialName);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  if (names.length === 0) return;
  const isLarge = (file: RemoteFile) => file.type === 'file' && file.sizeBytes >= largeFileBytes;
  const resumable = new Set(
    files.filter(isLarge).flatMap((file) => {
      const { partial, journal } = resumableNames(file);
      return [partial, journal];
    }),
  );
  for (const name of names) if (!resumable.has(name) && isAbandoned(directory, name)) removeFile(join(directory, name));
}

function isAbandoned(directory: string, name: string): boolean {
  const puller = parsePartialName(name);
  const isAtWork = puller
    ? mayBeAlive(puller)
    : new PullJournal(join(directory, name.endsWith('.journal.part') ? name : journalOf(name))).isTaken();
  if (!isAtWork) return true;
  const stats = lstatSync(join(directory, name), { throwIfNoEntry: false });
  return stats !== undefined && Date.now() - stats.ctimeMs > abandonedMs;
}

function removeFile(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    // A directory of this name is the user's own.
    if (!isSystemError(error, 'ERR_FS_EISDIR')) throw error;
  }
}
