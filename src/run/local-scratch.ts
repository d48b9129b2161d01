import { chmod, lchown, lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from '../errors.js';
import { scratchDirectories, type ContainerParts } from './describe-container.js';
import { homeDirectory } from './local-accounts.js';
import type { LocalContainer } from './local-container.js';
import { findMountPoints, makeMountPoints } from './local-mount-points.js';
import { removeTree, type Owner } from './work-copy.js';

const abandonedAfterMs = 14 * 24 * 60 * 60 * 1000;

/** Removes what runs that were killed weeks ago have left behind. */
export async function removeAbandoned(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const name of await readdir(directory)) {
    try {
      const { mtimeMs } = await lstat(join(directory, name));
      if (Date.now() - mtimeMs > abandonedAfterMs) await removeTree(join(directory, name));
    } catch (error) {
      // Another run has ended, or removes the same.
      if (!isMissing(error)) throw error;
    }
  }
}

/** The directories of a run's scratch as its container is to find them. `owner` is given where root makes them for somebody else. */
export async function makeScratch(
  parts: ContainerParts,
  { mounts }: LocalContainer,
  owner: Owner | undefined,
): Promise<void> {
  const home = homeDirectory(parts.identity);
  for (const { name, target } of scratchDirectories(parts)) {
    const directory = join(parts.places.scratch, name);
    await mkdir(directory);
    await chmod(directory, target === home ? 0o700 : 0o1777);
    if (owner !== undefined) await lchown(directory, owner.uid, owner.gid);
    await makeMountPoints(directory, findMountPoints(mounts, target), owner);
  }
}
