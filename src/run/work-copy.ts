import ignore from 'ignore';
import { chmod, copyFile, lchown, lstat, mkdir, readdir, readlink, rm, rmdir, symlink, unlink } from 'node:fs/promises';
import { constants, type BigIntStats } from 'node:fs';
import { dirname, join } from 'node:path';
import { reading } from '../cluster/select-files.js';
import type { Snapshot } from '../cluster/snapshot.js';
import { isMissing, isSystemError } from '../errors.js';
import { fromMount, isLinkInside } from '../transfer/safe-path.js';
import { makeMountPoints, type MountPoint } from './local-mount-points.js';

/** The numbers of a user and a group. */
export interface Owner {
  uid: number;
  gid: number;
}

/** A run's own copy of a project on this machine. */
export interface WorkCopy {
  directory: string;
  /** Change time (ctime, which no program can set) of each file as it was copied, in nanoseconds since 1970. */
  changeTimes: Map<string, bigint>;
}

export interface KeptResults {
  files: number;
  bytes: number;
  /** Paths of links that were not kept because they lead out of the directory. */
  refused: string[];
}

const copiedAtOnce = 16;

/**
 * Copies the snapshot's files into a new directory, with the modes they get in a job, and makes what is missing at the
 * mount points, which is no result. `owner` is given where root makes the copy for somebody else. Throws CODE_UNSENDABLE.
 */
export async function makeWorkCopy(
  snapshot: Snapshot,
  directory: string,
  { mountPoints, owner }: { mountPoints: MountPoint[]; owner: Owner | undefined },
): Promise<WorkCopy> {
  const changeTimes = new Map<string, bigint>();
  await mkdir(directory, { mode: 0o755 });
  const copy = async (file: Snapshot['files'][number]) => {
    const target = join(directory, file.path);
    switch (file.type) {
      case 'directory':
        await mkdir(target, { recursive: true });
        return;
      case 'symlink':
        await mkdir(dirname(target), { recursive: true });
        await symlink(file.target, target);
        break;
      case 'file':
        await mkdir(dirname(target), { recursive: true });
        await reading(copyFile(join(snapshot.directory, file.path), target, constants.COPYFILE_FICLONE));
        await chmod(target, file.isExecutable ? 0o755 : 0o644);
    }
  };
  for (let from = 0; from < snapshot.files.length; from += copiedAtOnce) {
    await Promise.all(snapshot.files.slice(from, from + copiedAtOnce).map(copy));
  }
  await makeMountPoints(directory, mountPoints, owner);
  if (owner !== undefined) await giveTo(directory, owner);
  for (const path of new Set([...snapshot.files, ...mountPoints].map((each) => each.path))) {
    const stats = await lstatIfThere(join(directory, path));
    if (stats?.isDirectory() === false) changeTimes.set(path, stats.ctimeNs);
  }
  return { directory, changeTimes };
}

/** Undefined at a mount point that only the engine can make. */
async function lstatIfThere(path: string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/**
 * Leaves of a work copy what the run created or changed and what `exclude` (patterns as in .gitignore) does not name, as
 * pull-results brings it; removes the directory where nothing is left. `owner` is given where root keeps it for somebody
 * else.
 */
export async function keepResults(
  { directory, changeTimes }: WorkCopy,
  { exclude, mount, owner }: { exclude: string[]; mount: string; owner: Owner | undefined },
): Promise<KeptResults> {
  const kept: KeptResults = { files: 0, bytes: 0, refused: [] };
  const excluded = ignore({ ignorecase: false }).add(exclude);
  const visit = async (path: string, full: string) => {
    const stats = await lstat(full, { bigint: true });
    const isResult =
      (stats.isFile() || stats.isSymbolicLink()) &&
      changeTimes.get(path) !== stats.ctimeNs &&
      !(ignore.isPathValid(path) && excluded.ignores(path));
    if (!isResult || (stats.isSymbolicLink() && !(await keepLink(path, full)))) {
      await unlink(full);
      return;
    }
    kept.files += 1;
    if (stats.isFile()) kept.bytes += Number(stats.size);
  };
  const keepLink = async (path: string, full: string): Promise<boolean> => {
    const target = await readlink(full);
    const relative = fromMount(path, target, mount);
    if (!isLinkInside(path, relative)) {
      kept.refused.push(path);
      return false;
    }
    if (relative !== target) {
      await unlink(full);
      await symlink(relative, full);
    }
    return true;
  };
  await pruneDirectory(directory, '', visit);
  if (kept.files === 0) await unlessForeign(removeTree(directory));
  else if (owner !== undefined) await giveTo(directory, owner);
  return kept;
}

/** Visits all that is no directory, then removes the directories that are empty. Follows no link. */
async function pruneDirectory(
  directory: string,
  prefix: string,
  visit: (path: string, full: string) => Promise<void>,
): Promise<void> {
  // What the run has closed to itself is its owner's, and so can be opened.
  await unlessForeign(chmod(directory, 0o755));
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = `${prefix}${entry.name}`;
    const full = join(directory, entry.name);
    try {
      if (!entry.isDirectory()) await visit(path, full);
      else {
        await pruneDirectory(full, `${path}/`, visit);
        await unlessForeign(rmdir(full));
      }
    } catch (error) {
      // A name that is not UTF-8 cannot be addressed; it is left as it is, and the directories above it.
      if (!isMissing(error) && !isSystemError(error, 'ENOTEMPTY')) throw error;
    }
  }
}

/** Through a link of the project to a mount point, an engine that runs as root makes directories as root's: they stay. */
async function unlessForeign(change: Promise<void>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!isSystemError(error, 'EACCES') && !isSystemError(error, 'EPERM')) throw error;
  }
}

async function giveTo(directory: string, owner: Owner): Promise<void> {
  await lchown(directory, owner.uid, owner.gid);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const full = join(directory, entry.name);
    if (entry.isDirectory()) await giveTo(full, owner);
    else await lchown(full, owner.uid, owner.gid);
  }
}

/** Removes a directory that a run has written to, whatever modes it has left behind. */
export async function removeTree(directory: string): Promise<void> {
  try {
    await rm(directory, { recursive: true, force: true });
  } catch (error) {
    if (!isSystemError(error, 'EACCES') && !isSystemError(error, 'EPERM')) throw error;
    await openTree(directory);
    await rm(directory, { recursive: true, force: true });
  }
}

async function openTree(directory: string): Promise<void> {
  await chmod(directory, 0o700);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) await openTree(join(directory, entry.name));
  }
}
