/** Paths inside an image: relative to its root, without `.` in front or a slash behind, one character a byte. */

const slash = 0x2f;

/** A path as a tar tells it, such as `./etc/` or `/etc`. */
export function normalizeTarPath(path: string): string {
  let start = 0;
  let end = path.length;
  for (;;) {
    if (path.charCodeAt(start) === slash) start += 1;
    else if (path.startsWith('./', start)) start += 2;
    else break;
  }
  while (end > start && path.charCodeAt(end - 1) === slash) end -= 1;
  const inner = start === 0 && end === path.length ? path : path.slice(start, end);
  return inner === '.' ? '' : inner;
}

/** An absolute path as an image's configuration tells it, in Unicode. */
export function imagePathOf(containerPath: string): string {
  const parts: string[] = [];
  for (const part of Buffer.from(containerPath, 'utf8').toString('latin1').split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** As people write it: absolute, in Unicode. */
export function printImagePath(path: string): string {
  return `/${Buffer.from(path, 'latin1').toString('utf8')}`;
}

// Linux gives up after as many (path_resolution(7)).
const maximumLinks = 40;

/**
 * Where a path leads when symlinks are followed inside the image. What does not exist counts as a directory; undefined
 * if the links go round in circles. `linkAt` tells the target of the symlink at a path, if there is one.
 */
export function followLinks(path: string, linkAt: (path: string) => string | undefined): string | undefined {
  const left = path.split('/').reverse();
  let current = '';
  let links = 0;
  for (let part = left.pop(); part !== undefined; part = left.pop()) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      current = current.slice(0, Math.max(0, current.lastIndexOf('/')));
      continue;
    }
    const next = current === '' ? part : `${current}/${part}`;
    const target = linkAt(next);
    if (target === undefined) {
      current = next;
      continue;
    }
    links += 1;
    if (links > maximumLinks) return undefined;
    if (target.startsWith('/')) current = '';
    left.push(...target.split('/').reverse());
  }
  return current;
}
