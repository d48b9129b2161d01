import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { isSystemError } from '../errors.js';

/** A process that pulls. */
export interface Puller {
  /** Eight hex digits made of the machine's name. */
  host: string;
  pid: number;
}

export function thisPuller(): Puller {
  return { host: hexOf(hostname(), 8), pid: process.pid };
}

/** Whether the process may still be at work; of another machine's nobody here knows. */
export function mayBeAlive(puller: Puller): boolean {
  if (puller.host !== thisPuller().host) return true;
  try {
    process.kill(puller.pid, 0);
    return true;
  } catch (error) {
    return !isSystemError(error, 'ESRCH');
  }
}

/** Whether a file of this name is a pull's own, whatever directory it is in. */
export function isPartialName(name: string): boolean {
  return /^\.hpcrun-.*\.part$/is.test(name);
}

/** The name of the puller's `index`th file that is not complete yet. */
export function partialName({ host, pid }: Puller, index: number): string {
  return `.hpcrun-${host}-${pid}-${index}.part`;
}

/** Whose file a name made by `partialName` is. */
export function parsePartialName(name: string): Puller | undefined {
  const match = /^\.hpcrun-([0-9a-f]{8})-(\d+)-\d+\.part$/.exec(name);
  return match?.[1] === undefined ? undefined : { host: match[1], pid: Number(match[2]) };
}

/** Names of a large file's parts and of its journal: the same for every pull of the same state of the same file. */
export function resumableNames(file: { path: string; sizeBytes: number; mtime: number }): {
  partial: string;
  journal: string;
} {
  const key = hexOf(JSON.stringify([file.path, file.sizeBytes, file.mtime]), 16);
  return { partial: `.hpcrun-${key}.part`, journal: journalOf(`.hpcrun-${key}.part`) };
}

/** The journal that belongs to a large file's partial one. */
export function journalOf(partial: string): string {
  return partial.replace(/\.part$/, '.journal.part');
}

function hexOf(text: string, digits: number): string {
  return createHash('sha256').update(text, 'utf8').digest('hex').slice(0, digits);
}
