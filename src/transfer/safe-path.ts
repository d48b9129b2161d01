import { lstat, mkdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { isSystemError } from '../errors.js';

/**
 * Splits a path that came from the far side into its parts; undefined if it is not plainly relative and downward: empty,
 * absolute, with `.`, `..` or empty parts, or with characters no file name here can hold.
 */
export function splitRemotePath(path: string): string[] | undefined {
  const parts = path.split('/');
  const isPlain = parts.every(
    (part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0') && !part.includes('\\'),
  );
  return isPlain ? parts : undefined;
}

/**
 * Whether a symlink at `path` (relative to the target directory) stays inside of that directory, also when its way leads
 * through other such links: `..` may only stand at its beginning, where it is relative to a real directory.
 */
export function isLinkInside(path: string, linkTarget: string): boolean {
  if (linkTarget === '' || linkTarget.startsWith('/') || linkTarget.includes('\\')) return false;
  if (/(?:^|\/)(?!\.\.?(?:\/|$))[^/]+\/(?:.*\/)?\.\.(?:\/|$)/s.test(linkTarget)) return false;
  const resolved = posix.normalize(posix.join(posix.dirname(path), linkTarget));
  return resolved !== '..' && !resolved.startsWith('../');
}

/**
 * Makes the directories above `parts` below `root` and returns the full path; undefined if one of them is there already
 * and is a link or a file, through which a write could end elsewhere.
 */
export async function prepareParents(root: string, parts: string[]): Promise<string | undefined> {
  let directory = root;
  await mkdir(directory, { recursive: true });
  for (const part of parts.slice(0, -1)) {
    directory = join(directory, part);
    try {
      await mkdir(directory);
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error;
      if (!(await lstat(directory)).isDirectory()) return undefined;
    }
  }
  return join(directory, parts.at(-1) ?? '');
}
