import { isLeftOut } from './engine-stubs.js';
import { followLinks, imagePathOf } from './image-path.js';
import type { TarEntry } from './tar-header.js';

// What Apptainer mounts over or writes to and what therefore has to exist (facts from its documentation on bind paths).
const required: TarEntry[] = [
  ...['dev', 'proc', 'sys', 'home', 'root', 'etc', 'var'].map((path) => directory(path, 0o755)),
  ...['tmp', 'var/tmp'].map((path) => directory(path, 0o1777)),
  ...['etc/hosts', 'etc/hostname', 'etc/resolv.conf', 'etc/passwd', 'etc/group'].map((path) => emptyFile(path)),
  // Docker makes it in every container.
  { path: 'etc/mtab', mode: 0o777, content: { type: 'symlink', target: '/proc/mounts' } },
];

function directory(path: string, mode: number): TarEntry {
  return { path, mode, content: { type: 'directory' } };
}

function emptyFile(path: string): TarEntry {
  return { path, mode: 0o644, content: { type: 'file', bytes: Buffer.alloc(0) } };
}

/** Finds out what has to be added to an image, from the entries it has. Their paths are relative, one character a byte. */
export class MissingEntries {
  private readonly directories = new Set(['']);
  private readonly links = new Map<string, string>();
  private readonly files = new Set<string>();
  private readonly names: Set<string>;

  private readonly wanted: string[];

  /** `directories` are absolute paths, in Unicode, of what is to be made besides what every image needs. */
  constructor(directories: string[]) {
    this.wanted = directories.map(imagePathOf).filter((path) => !isLeftOut(path));
    const paths = [...required.map(({ path }) => path), ...this.wanted];
    this.names = new Set(paths.flatMap((path) => path.split('/')));
  }

  /** Takes note of an entry of the image. */
  add(path: string, type: string, linkTarget: string): void {
    if (type === '5') this.directories.add(path);
    else if (type === '2') this.links.set(path, linkTarget);
    // Of other files only those matter that may be in the way of what is wanted.
    else if (this.names.has(path.slice(path.lastIndexOf('/') + 1))) this.files.add(path);
  }

  /**
   * What is missing, parents first. Symlinks of the image stay: what is wanted below one is made where it leads to, if
   * that is a directory of the image, and is left out otherwise.
   */
  list(): TarEntry[] {
    const wanted = this.wanted.map((path) => directory(path, 0o755));
    return [...required, ...wanted].flatMap((entry) => this.place(entry));
  }

  private place(entry: TarEntry): TarEntry[] {
    const made: TarEntry[] = [];
    const parts = entry.path.split('/').filter((part) => part !== '');
    let parent = '';
    for (const [index, part] of parts.entries()) {
      const isLast = index === parts.length - 1;
      const own = parent === '' ? part : `${parent}/${part}`;
      const path = followLinks(own, (at) => this.links.get(at));
      if (path === undefined || (this.files.has(path) && !isLast)) return [];
      if (!this.directories.has(path) && !this.files.has(path)) {
        if (path !== own) return [];
        made.push(isLast ? { ...entry, path } : directory(path, 0o755));
      }
      parent = path;
    }
    for (const { path, content } of made) {
      if (content.type === 'directory') this.directories.add(path);
      else this.files.add(path);
    }
    return made;
  }
}
