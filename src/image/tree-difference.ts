import { isDirectory, sizeOf, type Tree } from './tree-listing.js';
import type { TarEntry } from './tar-header.js';

/** What an overlay has to hold, so that mounted over the base it shows the target. */
export interface TreeDifference {
  /** Paths to be taken from the target's image, sorted, every directory before what is in it. */
  changed: string[];
  /** Entries that conversion makes. */
  made: TarEntry[];
  /** Paths to be hidden, each with a whiteout. */
  removed: string[];
  /** Of the changed files. */
  changedBytes: number;
}

/**
 * Compares two trees by the rules of overlayfs (Linux kernel, Documentation/filesystems/overlayfs.rst): directories that are
 * in both merge, with the upper one's mode and time; any other upper entry hides what is below it with all its contents;
 * entries that are gone are hidden one by one.
 */
export function compareTrees(base: Tree, target: Tree): TreeDifference {
  const wanted = new Set<string>();
  const removed: string[] = [];
  let changedBytes = 0;
  const add = (path: string) => {
    // An overlay's directory decides for the merged one, so that those on the way must be right as well.
    for (let at = path; at !== '' && !wanted.has(at); at = parentOf(at)) wanted.add(at);
  };
  for (const [path, entry] of target.entries) {
    if (base.entries.get(path) === entry) continue;
    add(path);
    changedBytes += sizeOf(entry);
  }
  for (const path of base.entries.keys()) {
    if (target.entries.has(path)) continue;
    const parent = parentOf(path);
    // Below something that is no directory any more, or hidden itself, there is nothing left to hide.
    if (parent !== '' && !isDirectory(target.entries.get(parent))) continue;
    removed.push(path);
    if (parent !== '') add(parent);
  }
  const sorted = [...wanted].sort();
  return {
    changed: sorted.filter((path) => !target.made.has(path)),
    made: sorted.flatMap((path) => target.made.get(path) ?? []),
    removed: removed.sort(),
    changedBytes,
  };
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash === -1 ? '' : path.slice(0, slash);
}
