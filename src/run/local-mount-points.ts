import { lchown, lstat, mkdir, stat, writeFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { Bind } from '../config/bind.js';
import { isMissing } from '../errors.js';
import type { Owner } from './work-copy.js';

/** A place in a mounted directory where something else is mounted. */
export interface MountPoint {
  /** Relative to the directory. */
  path: string;
  /** What is mounted there. */
  source: string;
}

/** `path` as seen from `parent`, both absolute paths of a container: `''` for the same one, undefined outside of it. */
export function pathInside(parent: string, path: string): string | undefined {
  const rest = posix.relative(parent, path);
  return rest === '..' || rest.startsWith('../') ? undefined : rest;
}

/** The places in what is mounted at `target` where others of the mounts lie. */
export function findMountPoints(mounts: Bind[], target: string): MountPoint[] {
  const inner = mounts.filter((mount) => (pathInside(target, mount.target) ?? '') !== '');
  // A place in one of the others is in that one's directory.
  const isCovered = (mount: Bind) => inner.some((other) => (pathInside(other.target, mount.target) ?? '') !== '');
  return inner
    .filter((mount) => !isCovered(mount))
    .map((mount) => ({ path: posix.relative(target, mount.target), source: mount.source }));
}

/**
 * Makes in a directory the files and directories that are missing at mount points. An engine that runs as root would
 * make them as root's, and nobody else could remove them. `owner` is given where root makes them for somebody else.
 * Links, and what stands in the way, are left to the engine.
 */
export async function makeMountPoints(
  directory: string,
  points: MountPoint[],
  owner: Owner | undefined,
): Promise<void> {
  for (const { path, source } of points) {
    const names = path.split('/');
    const isDirectory = (await kindOf(source, stat)) !== 'other';
    let at = directory;
    for (const [index, name] of names.entries()) {
      at = join(at, name);
      const kind = await kindOf(at, lstat);
      if (kind === 'directory') continue;
      if (kind === 'other') break;
      if (isDirectory || index < names.length - 1) await mkdir(at);
      else await writeFile(at, '');
      if (owner !== undefined) await lchown(at, owner.uid, owner.gid);
    }
  }
}

async function kindOf(
  path: string,
  look: (path: string) => Promise<{ isDirectory: () => boolean }>,
): Promise<'directory' | 'other' | 'missing'> {
  try {
    return (await look(path)).isDirectory() ? 'directory' : 'other';
  } catch (error) {
    if (isMissing(error)) return 'missing';
    throw error;
  }
}
