import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { lstat, readlink, rename, rm, symlink, utimes } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract as createExtract } from 'tar-stream';
import { HpcrunError, isMissing, isSystemError, messageOf } from '../errors.js';
import type { Connection } from '../ssh/connection.js';
import { quote } from '../ssh/quote.js';
import { remoteFailure, scriptPrelude } from '../ssh/remote-script.js';
import { isLinkInside, prepareParents, splitRemotePath } from './safe-path.js';

/** A file on the far side that is to be brought here. */
export interface RemoteFile {
  /** Relative to the directory it is listed in. */
  path: string;
  type: 'file' | 'symlink';
  sizeBytes: number;
  /** Seconds since 1970, with a fraction. */
  mtime: number;
  /** Where a symlink leads; empty for a file. */
  linkTarget: string;
}

export interface PullResult {
  files: number;
  bytes: number;
  /** Names that were not written, with why. */
  refused: { path: string; why: string }[];
}

/** Those files that are not here with the same size and time. Throws nothing for names that cannot be here: they stay. */
export async function selectNew(files: RemoteFile[], directory: string): Promise<RemoteFile[]> {
  const wanted: RemoteFile[] = [];
  for (const file of files) {
    if (!(await isPresent(file, directory))) wanted.push(file);
  }
  return wanted;
}

async function isPresent(file: RemoteFile, directory: string): Promise<boolean> {
  if (splitRemotePath(file.path) === undefined) return false;
  try {
    const path = join(directory, file.path);
    const stats = await lstat(path);
    if (file.type === 'symlink') return stats.isSymbolicLink() && (await readlink(path)) === file.linkTarget;
    // Times are compared to the millisecond: file systems on both sides keep different fractions.
    return stats.isFile() && stats.size === file.sizeBytes && Math.abs(stats.mtimeMs - file.mtime * 1000) < 2;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/**
 * Brings files here in one tar stream. What comes is not trusted: only what was asked for is written, below `directory`,
 * through no link, under a temporary name first. Needs GNU tar on the far side.
 */
export async function pullFiles(
  connection: Connection,
  remoteDirectory: string,
  files: RemoteFile[],
  directory: string,
  options: { mount: string; signal: AbortSignal; onProgress: (receivedBytes: number) => void },
): Promise<PullResult> {
  const result: PullResult = { files: 0, bytes: 0, refused: [] };
  const wanted = new Map<string, RemoteFile>();
  for (const file of files) {
    if (file.path.includes('\ufffd')) result.refused.push({ path: file.path, why: 'its name is not UTF-8' });
    else if (splitRemotePath(file.path)) wanted.set(file.path, file);
    else result.refused.push({ path: file.path, why: 'its name cannot be a path here' });
  }
  if (wanted.size === 0) return result;

  const tar = new PassThrough({ highWaterMark: 4 << 20 });
  const arrived = new Set<string>();
  const unpacked = unpack(tar, { wanted, arrived, directory, mount: options.mount }, result, options.onProgress);
  unpacked.catch((error: unknown) => tar.destroy(error instanceof Error ? error : new Error(messageOf(error))));
  tar.on('error', () => undefined); // `unpacked` fails with it.
  const script = `${scriptPrelude}cd ${quote(remoteDirectory)} || exit 1
tar -cf - --format=posix --hard-dereference --no-recursion --null -T -
status=$?
[ "$status" -le 1 ] || exit "$status"
`;
  const list = Buffer.from([...wanted.keys()].map((path) => `${path}\0`).join(''), 'utf8');
  const sent = connection.stream(script, {
    stdin: list,
    signal: options.signal,
    onStdout: async (chunk) => {
      if (!tar.write(chunk)) await Promise.race([once(tar, 'drain'), unpacked]);
    },
  });
  let remote;
  try {
    // An error here ends the transfer at once, whatever the far side still has to send.
    remote = await Promise.race([sent, unpacked.then(() => sent)]);
    tar.end();
    await unpacked;
  } catch (error) {
    tar.destroy();
    await Promise.allSettled([unpacked]);
    throw asTransferError(error, directory);
  }
  // Status 2 is what tar gives where a file has gone or cannot be read; the others have arrived.
  if (remote.exitCode !== 0 && result.files === 0) throw remoteFailure(connection, 'bringing back results', remote);
  for (const path of wanted.keys())
    if (!arrived.has(path)) result.refused.push({ path, why: 'it is gone or cannot be read there' });
  return result;
}

/** What the disk here says, in a user's words. */
function asTransferError(error: unknown, directory: string): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const why: Record<string, string> = {
    ENOSPC: 'the disk is full',
    EDQUOT: 'the quota is used up',
    EACCES: 'it may not be written to',
    EROFS: 'it is read-only',
    ENOTDIR: 'a directory on its way is a file',
    EEXIST: 'a directory on its way is a file',
  };
  const said = why[code];
  if (error instanceof HpcrunError || said === undefined) return error;
  return new HpcrunError('TRANSFER_FAILED', `cannot write to ${directory}: ${said}`, {
    hint: 'What has arrived is kept. Mend it and run the command again, or choose another directory with --to.',
    cause: error,
  });
}

interface Unpacking {
  wanted: Map<string, RemoteFile>;
  /** Filled with the paths that came. */
  arrived: Set<string>;
  directory: string;
  /** Where the far side's directory was in the container: links below it are made relative. */
  mount: string;
}

async function unpack(
  tar: Readable,
  { wanted, arrived, directory, mount }: Unpacking,
  result: PullResult,
  onProgress: (receivedBytes: number) => void,
): Promise<void> {
  const extract = createExtract();
  // tar-stream's streams (streamx) behave like Node's own, but are not declared as such; so below for an entry.
  const feeding = pipeline(tar, extract as unknown as NodeJS.WritableStream);
  feeding.catch(() => undefined); // The loop below fails with the same error.
  for await (const entry of extract) {
    const { name, type } = entry.header;
    // The declared type leaves out that a header may have none.
    const { linkname } = entry.header as { linkname?: string | null };
    const linkTarget = fromMount(name, linkname ?? '', mount);
    arrived.add(name);
    const file = wanted.get(name);
    const parts = splitRemotePath(name);
    const refuse = (why: string) => {
      result.refused.push({ path: name, why });
      entry.resume();
    };
    if (!file || !parts) refuse('it was not asked for');
    else if (type === 'symlink' && !isLinkInside(name, linkTarget)) refuse('it is a link out of the directory');
    else if (type !== 'file' && type !== 'symlink') refuse('it is neither a file nor a link');
    else {
      const target = await prepareParents(directory, parts);
      if (target === undefined) refuse('a directory on its way is a link or a file here');
      else if (type === 'symlink') {
        await placeLink(target, linkTarget);
        entry.resume();
        result.files += 1;
      } else {
        await placeFile(target, entry as unknown as Readable, file, (bytes) => {
          result.bytes += bytes;
          onProgress(result.bytes);
        });
        result.files += 1;
      }
    }
  }
  await feeding;
}

/** `/workspace/out/x` as seen from `latest` is `out/x`; every other target stays as it is. */
export function fromMount(path: string, linkTarget: string, mount: string): string {
  if (!linkTarget.startsWith(`${mount}/`)) return linkTarget;
  return posix.relative(posix.dirname(posix.join(mount, path)), linkTarget);
}

function temporaryName(target: string): string {
  return join(dirname(target), `.hpcrun-${randomBytes(6).toString('hex')}.part`);
}

async function placeLink(target: string, linkTarget: string): Promise<void> {
  const temporary = temporaryName(target);
  await symlink(linkTarget, temporary);
  await replace(temporary, target);
}

async function placeFile(
  target: string,
  content: Readable,
  file: RemoteFile,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const temporary = temporaryName(target);
  content.on('data', (chunk: Buffer) => {
    onBytes(chunk.length);
  });
  try {
    await pipeline(content, createWriteStream(temporary, { flags: 'wx' }));
    await utimes(temporary, file.mtime, file.mtime);
    await replace(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function replace(temporary: string, target: string): Promise<void> {
  try {
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    if (!isSystemError(error, 'EISDIR') && !isSystemError(error, 'ENOTEMPTY')) throw error;
    throw new HpcrunError('TRANSFER_FAILED', `${target} is a directory here and a file on the cluster`, {
      hint: 'Move it away, or pull into another directory with --to.',
    });
  }
}
