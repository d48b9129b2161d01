import { execa } from 'execa';
import { open } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { HpcrunError, isSystemError, throwIfInterrupted } from '../errors.js';
import type { ContainerEngine } from './engine.js';
import { ensureHelperImage, spawnMksquashfs } from './helper-container.js';
import { clearRootTime } from './squashfs.js';

export const compressions = ['gzip', 'zstd'] as const;
export type Compression = (typeof compressions)[number];

// Levels measured with bench/convert: beyond these, time grows much faster than the file shrinks.
const compressionArguments: Record<Compression, string[]> = {
  gzip: ['-comp', 'gzip', '-Xcompression-level', '4'],
  zstd: ['-comp', 'zstd', '-Xcompression-level', '3'],
};

// Small pieces are gathered up to this size, so that the pipe is written to less often.
const gatheredBytes = 256 << 10;

/** Starts `mksquashfs - FILE ARGS…`, which reads a tar from its standard input. */
export type Mksquashfs = (
  outputPath: string,
  args: string[],
  signal: AbortSignal,
) => Promise<{ child: MksquashfsProcess }>;

/** As much of an execa subprocess as is used. */
export interface MksquashfsProcess extends PromiseLike<{
  exitCode?: number | undefined;
  stderr: string;
  shortMessage?: string | undefined;
}> {
  stdin: Writable;
  stdout: Readable;
  kill(): boolean;
}

function startLocally(outputPath: string, args: string[], signal: AbortSignal) {
  return execa('mksquashfs', ['-', outputPath, ...args], {
    reject: false,
    cancelSignal: signal,
    buffer: { stdout: false },
    // It would contradict -mkfs-time.
    env: { SOURCE_DATE_EPOCH: undefined },
    stdin: 'pipe',
  });
}

/**
 * The mksquashfs of this machine, or, where there is none that reads a tar, one in a container of the engine's. Throws
 * MKSQUASHFS_MISSING if neither can be had.
 */
export async function findMksquashfs(engine: ContainerEngine, signal: AbortSignal): Promise<Mksquashfs> {
  try {
    await requireMksquashfs(signal);
    return (...request) => Promise.resolve({ child: startLocally(...request) });
  } catch (error) {
    if (!(error instanceof HpcrunError) || error.code !== 'MKSQUASHFS_MISSING') throw error;
    const image = await makeHelper(engine, error, signal);
    return (outputPath, args) => spawnMksquashfs(engine, image, { outputPath, args, signal });
  }
}

async function makeHelper(engine: ContainerEngine, missing: HpcrunError, signal: AbortSignal): Promise<string> {
  try {
    return await ensureHelperImage(engine, { signal });
  } catch (error) {
    throwIfInterrupted(signal);
    if (!(error instanceof HpcrunError)) throw error;
    throw new HpcrunError('MKSQUASHFS_MISSING', `${missing.message}, and a container for it could not be made`, {
      ...(missing.hint === undefined ? {} : { hint: missing.hint }),
      cause: error,
    });
  }
}

export interface SquashOptions {
  mksquashfs: Mksquashfs;
  compression: Compression;
  /** Bytes left free in front. */
  offset: number;
  signal: AbortSignal;
}

/**
 * Compresses a tar into a squashfs at `outputPath` as it streams. Files belong to root, as in `apptainer build`; times are
 * fixed, so that the bytes depend on the tar alone. Throws CONVERSION_FAILED with mksquashfs's own words, or what the
 * tar's producer threw. What was written so far stays: the caller removes it.
 */
export async function writeSquashfs(
  tar: AsyncIterable<Buffer>,
  outputPath: string,
  { mksquashfs, compression, offset, signal }: SquashOptions,
): Promise<void> {
  const args = [
    ...['-tar', '-noappend', '-no-progress', '-quiet', '-all-root', '-mkfs-time', '0'],
    // As fast as with the quarter of the machine's memory it would take otherwise (bench/convert).
    ...['-mem', '64M'],
    // The kernel refuses to run a file with capabilities in a user namespace, and an unprivileged job could not use them.
    '-no-xattrs',
    // -noI for clearRootTime.
    ...['-root-mode', '755', '-noI', '-o', String(offset)],
    ...compressionArguments[compression],
  ];
  const { child } = await mksquashfs(outputPath, args, signal);
  child.stdout.resume();
  let feedError: unknown;
  try {
    await feed(tar, child.stdin);
  } catch (error) {
    feedError = error;
    child.kill();
  }
  const result = await child;
  throwIfInterrupted(signal);
  // When mksquashfs dies, writing to it fails as well: its own words come first.
  if (result.exitCode !== 0 && (feedError === undefined || isBrokenPipe(feedError)))
    throw mksquashfsFailed(result.stderr, result.shortMessage ?? '');
  if (feedError !== undefined) throw feedError instanceof Error ? feedError : new Error('the tar could not be read');
  const file = await open(outputPath, 'r+');
  try {
    await clearRootTime(file, offset);
  } finally {
    await file.close();
  }
}

/** Writes one piece after the other; a piece may be used again by its maker as soon as the next one is asked for. */
async function feed(tar: AsyncIterable<Buffer>, stdin: Writable): Promise<void> {
  // An error may come between two writes; it is thrown by the next one.
  let failure: Error | undefined;
  stdin.on('error', (error) => {
    failure = error;
  });
  const write = async (piece: Buffer) => {
    if (failure) throw failure;
    await new Promise<void>((resolve, reject) => {
      stdin.write(piece, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  };
  const gathered = Buffer.allocUnsafeSlow(gatheredBytes);
  let bytes = 0;
  const flush = async () => {
    if (bytes > 0) await write(gathered.subarray(0, bytes));
    bytes = 0;
  };
  for await (const piece of tar) {
    if (piece.length > gatheredBytes / 4) {
      await flush();
      await write(piece);
      continue;
    }
    if (bytes + piece.length > gatheredBytes) await flush();
    bytes += piece.copy(gathered, bytes);
  }
  await flush();
  stdin.end();
}

/** The version of mksquashfs. Throws MKSQUASHFS_MISSING unless there is one that reads a tar from standard input: squashfs-tools 4.5. */
export async function requireMksquashfs(signal: AbortSignal): Promise<string> {
  const hint =
    'Install squashfs-tools 4.5 or newer: "apt-get install squashfs-tools", "dnf install squashfs-tools" or "brew install squashfs".';
  const result = await execa('mksquashfs', ['-version'], { reject: false, stdin: 'ignore', cancelSignal: signal });
  throwIfInterrupted(signal);
  if (result.code === 'ENOENT')
    throw new HpcrunError('MKSQUASHFS_MISSING', 'the mksquashfs program was not found', { hint });
  const version = /version (\S+)/.exec(result.stdout)?.[1] ?? '';
  const [major = 0, minor = 0] = version.split('.').map((part) => parseInt(part, 10));
  if (!(major > 4 || (major === 4 && minor >= 5))) {
    const found = result.stdout.split('\n')[0] ?? '';
    throw new HpcrunError('MKSQUASHFS_MISSING', `mksquashfs is too old to read a tar: ${found}`, { hint });
  }
  return version;
}

function isBrokenPipe(error: unknown): boolean {
  return ['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END'].some((code) =>
    isSystemError(error, code),
  );
}

function mksquashfsFailed(stderr: string, shortMessage: string): HpcrunError {
  const said = stderr.trim().split('\n').slice(-5).join('\n') || shortMessage;
  const full = /no space left/i.test(said);
  return new HpcrunError('CONVERSION_FAILED', `mksquashfs failed: ${said}`, {
    hint: full
      ? 'The disk is full: free some space, or set XDG_CACHE_HOME to a directory on another disk.'
      : 'Run the command again.',
  });
}
