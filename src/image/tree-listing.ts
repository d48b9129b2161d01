import { HpcrunError, throwIfInterrupted } from '../errors.js';
import type { ContainerEngine, ImageInfo } from './engine.js';
import { MissingEntries } from './missing-entries.js';
import { isLeftOut, isTouchedByEngine } from './rewrite-rootfs.js';
import type { TarEntry } from './tar-header.js';

/**
 * What a SIF made of an image holds, as far as it is needed to tell two of them apart. Paths are relative, one character a
 * byte. The value says the type first (`d` directory, `l` symlink, `f` file and so on), then everything that has to be
 * equal for two entries to be the same.
 */
export interface Tree {
  entries: Map<string, string>;
  /** Those of the entries that conversion adds, because the image lacks them. */
  made: Map<string, TarEntry>;
}

// Mounts that the engine makes in every container; what is below them is no part of the image.
const usualMounts = /^\/(?:$|(?:proc|sys|dev)(?:\/|$)|etc\/(?:hosts|hostname|resolv\.conf)$|run\/\.containerenv$)/;

// Type, mode, inode number, time of the last change of anything (ctime), size, modification time, path, link target.
// The last field: a listing that was cut off has none.
const endMark = 'end of listing';

/** For scripts in containers: variables of the image's that would change what find and tar do. */
export const clearEnvironment =
  'unset TAR_OPTIONS POSIXLY_CORRECT LD_PRELOAD LD_LIBRARY_PATH; export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin';

const format = String.raw`%y %m %i %C@ %s %T@\0%p\0%l\0`;
const script = `${clearEnvironment}; cat /proc/self/mountinfo && printf '\\0' && find / -xdev -printf '${format}' && printf '${endMark}\\0'`;

/**
 * Lists an image's file system as `find` in a container of it sees it; parseListing reads it. Files of two images that
 * share a layer have the same inode number and ctime, and no program can set a ctime; nothing else proves that a file is
 * unchanged without reading it. Undefined where the image has no GNU find or no shell, or where something is mounted over
 * parts of the image, as VOLUMEs are: whoever asks has to do without.
 */
export async function listImage(
  engine: ContainerEngine,
  info: ImageInfo,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  if (info.volumes.length > 0) return undefined;
  const output = engine.runScript(info, script, { signal });
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of output.stream as AsyncIterable<Buffer>) chunks.push(chunk);
    await output.completed;
  } catch (error) {
    throwIfInterrupted(signal);
    if (!(error instanceof HpcrunError)) throw error;
    return undefined;
  } finally {
    await output.dispose();
  }
  const bytes = Buffer.concat(chunks);
  const end = bytes.indexOf(0);
  const mounts = bytes.toString('latin1', 0, Math.max(end, 0)).split('\n');
  const isPlain = mounts.every((line) => line === '' || usualMounts.test(line.split(' ')[4] ?? ''));
  return end !== -1 && isPlain ? bytes.subarray(end + 1) : undefined;
}

/**
 * The tree of the SIF that conversion makes of a listed image. Undefined if the listing is malformed.
 * @param directories absolute paths that conversion makes where the image lacks them
 */
export function parseListing(listing: Buffer, directories: string[]): Tree | undefined {
  const fields = listing.toString('latin1').split('\0');
  const isComplete = fields.pop() === '' && fields.pop() === endMark;
  if (!isComplete || fields.length % 3 !== 0) return undefined;
  const entries = new Map<string, string>();
  const missing = new MissingEntries(directories.map((path) => path.replace(/^\/+|\/+$/g, '')));
  for (let index = 0; index + 2 < fields.length; index += 3) {
    const [status = '', absolute = '', target = ''] = fields.slice(index, index + 3);
    const path = absolute.slice(1);
    const [type, mode, inode, ctime, size, mtime, ...rest] = status.split(' ');
    if (mtime === undefined || rest.length > 0 || !absolute.startsWith('/')) return undefined;
    // A tar holds no sockets.
    if (path === '' || type === 's' || isLeftOut(path)) continue;
    missing.add(path, type === 'd' ? '5' : type === 'l' ? '2' : '0', target);
    // SIFs keep whole seconds.
    const seconds = isTouchedByEngine(path) ? '0' : mtime.replace(/\..*/, '');
    if (type === 'd') entries.set(path, `d ${mode ?? ''} ${seconds}`);
    else if (type === 'l') entries.set(path, `l ${seconds} ${target}`);
    else entries.set(path, `${type ?? ''} ${mode ?? ''} ${inode ?? ''} ${ctime ?? ''} ${size ?? ''}`);
  }
  const made = new Map<string, TarEntry>();
  for (const entry of missing.list()) {
    entries.set(entry.path, statusOf(entry));
    made.set(entry.path, entry);
  }
  return { entries, made };
}

function statusOf({ mode, content }: TarEntry): string {
  switch (content.type) {
    case 'directory':
      return `d ${mode.toString(8)} 0`;
    case 'symlink':
      return `l 0 ${content.target}`;
    case 'file':
    case 'whiteout':
      return `f ${mode.toString(8)} made`;
  }
}

export function isDirectory(entry: string | undefined): boolean {
  return entry?.startsWith('d') === true;
}

/** The bytes of a file; 0 for everything else. */
export function sizeOf(entry: string): number {
  return entry.startsWith('f') ? Number(entry.slice(entry.lastIndexOf(' ') + 1)) || 0 : 0;
}
