import { lstatSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Pure: paths that a disk which does not tell upper from lower case would take for one that comes before them, with
 * that one. Such disks (APFS, NTFS) fold composed and decomposed characters as well.
 */
export function findSameNames(paths: readonly string[]): Map<string, string> {
  const first = new Map<string, string>();
  const same = new Map<string, string>();
  for (const path of paths) {
    const folded = path.normalize('NFC').toLowerCase();
    const earlier = first.get(folded);
    if (earlier === undefined) first.set(folded, path);
    else if (earlier !== path) same.set(path, earlier);
  }
  return same;
}

/** Whether the directory's disk tells `a` from `A`, found out with a file named `name`, which is removed again. */
export function tellsCase(directory: string, name: string): boolean {
  mkdirSync(directory, { recursive: true });
  const probe = join(directory, name);
  writeFileSync(probe, '');
  try {
    return lstatSync(join(directory, name.toUpperCase()), { throwIfNoEntry: false }) === undefined;
  } finally {
    rmSync(probe, { force: true });
  }
}
