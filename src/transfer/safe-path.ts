import { lstatSync, mkdirSync } from 'node:fs';
import { join, posix, sep } from 'node:path';
import { isSystemError } from '../errors.js';

/**
 * Splits a path that came from the far side into its parts; undefined if it is not plainly relative and downward: empty,
 * absolute, with `.`, `..` or empty parts, or with characters no file name here can hold. `separator` is this machine's:
 * where that is a backslash, neither it nor a colon (a drive, a stream of a file) can be in a name.
 */
export function splitRemotePath(path: string, separator = sep): string[] | undefined {
  const forbidden = separator === '\\' ? /[\0\\:]/ : /\0/;
  if (forbidden.test(path)) return undefined;
  const parts = path.split('/');
  return parts.every((part) => part !== '' && part !== '.' && part !== '..') ? parts : undefined;
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

/** `/workspace/out/x` as seen from `latest` is `out/x`; every other target stays as it is. */
export function fromMount(path: string, linkTarget: string, mount: string): string {
  if (!linkTarget.startsWith(`${mount}/`)) return linkTarget;
  return posix.relative(posix.dirname(posix.join(mount, path)), linkTarget);
}

/** A directory here that files of the far side are put below, through no link and no file. */
export class TargetDirectory {
  /** Whether paths below the root are directories, as far as they have been looked at. */
  private readonly known = new Map<string, boolean>();

  /** @param root absolute */
  constructor(readonly root: string) {}

  /**
   * Makes the directories above `parts` and returns the full path; undefined if one of them is there already and is a
   * link or a file, through which a write could end elsewhere.
   */
  prepare(parts: readonly string[]): string | undefined {
    const above = parts.slice(0, -1).join('/');
    if (!this.known.has(above)) this.known.set(above, this.makeDirectories(parts.slice(0, -1)));
    return this.known.get(above) === true ? join(this.root, ...parts) : undefined;
  }

  private makeDirectories(parts: readonly string[]): boolean {
    mkdirSync(this.root, { recursive: true });
    let directory = this.root;
    for (const part of parts) {
      directory = join(directory, part);
      try {
        mkdirSync(directory);
      } catch (error) {
        if (!isSystemError(error, 'EEXIST')) throw error;
        if (!lstatSync(directory).isDirectory()) return false;
      }
    }
    return true;
  }
}
