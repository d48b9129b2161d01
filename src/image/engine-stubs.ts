/** What an engine puts into the container it exports. Paths are relative to the root, one character a byte. */

// Made by the engine for the container it was asked to create, or meant to be empty in an image.
const leftOut =
  /^(?:\.dockerenv|run\/\.containerenv|(?:dev|proc|sys)\/.+|etc\/(?:hosts|hostname|resolv\.conf)|\.singularity\.d(?:\/.*)?)$/s;

// Creating the stubs above touches these directories, so that their times tell when the export was made.
const touched = new Set(['', 'etc', 'dev', 'proc', 'sys', 'run', 'etc/mtab']);

/** Whether an entry is no part of the image as the job sees it. */
export function isLeftOut(path: string): boolean {
  return leftOut.test(path);
}

/** Whether the engine changes the time of an entry. */
export function isTouchedByEngine(path: string): boolean {
  return touched.has(path);
}
