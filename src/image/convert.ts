import { execa } from 'execa';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { HpcrunError, throwIfInterrupted } from '../errors.js';
import { renderContainerMetadata } from './container-metadata.js';
import type { ContainerEngine, ImageInfo } from './engine.js';
import { rewriteRootfs } from './rewrite-rootfs.js';
import { partitionOffset, renderSifHead } from './sif.js';
import { clearRootTime } from './squashfs.js';

export type Compression = 'gzip' | 'zstd';

/** Raised whenever the same image would give other bytes than before, so that no cached SIF outlives its recipe. */
export const recipeVersion = 1;

// Levels measured with bench/convert: beyond these, time grows much faster than the file shrinks.
const compressionArguments: Record<Compression, string[]> = {
  gzip: ['-comp', 'gzip', '-Xcompression-level', '4'],
  zstd: ['-comp', 'zstd', '-Xcompression-level', '3'],
};

export interface ConvertedImage {
  /** Hex, of the whole SIF. */
  sha256: string;
  sizeBytes: number;
}

export interface ConvertOptions {
  compression: Compression;
  signal: AbortSignal;
  /** Called with the bytes of the image's file system read so far. */
  onProgress?: (readBytes: number) => void;
}

/**
 * Converts an image of the engine to a SIF: its file system is exported, rewritten as it streams and compressed by
 * mksquashfs, and the SIF header is written into the room left in front. Memory stays flat and nothing is copied twice.
 * On any failure `outputPath` is removed. Throws MKSQUASHFS_MISSING, CONVERSION_FAILED, ENGINE_FAILED or INTERRUPTED.
 */
export async function convertImage(
  engine: ContainerEngine,
  info: ImageInfo,
  outputPath: string,
  options: ConvertOptions,
): Promise<ConvertedImage> {
  throwIfInterrupted(options.signal);
  await requireMksquashfs(options.signal);
  try {
    await writePartition(engine, info, outputPath, options);
    await writeHead(info.architecture, outputPath);
    return await digest(outputPath, options.signal);
  } catch (error) {
    await rm(outputPath, { force: true });
    throwIfInterrupted(options.signal);
    throw error;
  }
}

async function writePartition(
  engine: ContainerEngine,
  info: ImageInfo,
  outputPath: string,
  { compression, signal, onProgress }: ConvertOptions,
): Promise<void> {
  const rootfs = await engine.exportRootfs(info, { signal });
  try {
    // -all-root as in `apptainer build`; times fixed, so that the bytes depend on the image alone; -noI for clearRootTime.
    const child = execa(
      'mksquashfs',
      [
        ...['-', outputPath, '-tar', '-noappend', '-no-progress', '-quiet', '-all-root', '-mkfs-time', '0'],
        ...['-root-mode', '755', '-noI', '-o', String(partitionOffset)],
        ...compressionArguments[compression],
      ],
      // SOURCE_DATE_EPOCH would contradict -mkfs-time.
      {
        reject: false,
        cancelSignal: signal,
        buffer: { stdout: false },
        env: { SOURCE_DATE_EPOCH: undefined },
        stdin: 'pipe',
      },
    );
    child.stdout.resume();
    const rewritten = rewriteRootfs(counted(rootfs.stream, onProgress), renderContainerMetadata(info));
    let feedError: unknown;
    try {
      await pipeline(Readable.from(rewritten, { objectMode: false, highWaterMark: 1 << 20 }), child.stdin);
    } catch (error) {
      feedError = error;
      child.kill();
    }
    const result = await child;
    throwIfInterrupted(signal);
    // When mksquashfs dies, writing to it fails as well: its own words come first.
    if (result.exitCode !== 0 && !(feedError instanceof HpcrunError))
      throw mksquashfsFailed(result.stderr, result.shortMessage ?? '');
    // When the engine fails, the tar ends early: the engine's own words come first.
    await rootfs.completed;
    if (feedError !== undefined)
      throw feedError instanceof Error ? feedError : new Error('the export could not be read');
  } finally {
    await rootfs.dispose();
  }
}

async function* counted(stream: Readable, onProgress: ((bytes: number) => void) | undefined): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    onProgress?.(bytes);
    yield chunk;
  }
}

async function writeHead(architecture: string, outputPath: string): Promise<void> {
  const { size } = await stat(outputPath);
  const file = await open(outputPath, 'r+');
  try {
    await clearRootTime(file, partitionOffset);
    await file.write(renderSifHead(architecture, size - partitionOffset), 0, partitionOffset, 0);
  } finally {
    await file.close();
  }
}

async function digest(path: string, signal: AbortSignal): Promise<ConvertedImage> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { sha256: hash.digest('hex'), sizeBytes };
}

/** Throws MKSQUASHFS_MISSING unless there is one that reads a tar from standard input: squashfs-tools 4.5. */
export async function requireMksquashfs(signal: AbortSignal): Promise<void> {
  const hint =
    'Install squashfs-tools 4.5 or newer: "apt-get install squashfs-tools", "dnf install squashfs-tools" or "brew install squashfs".';
  const result = await execa('mksquashfs', ['-version'], { reject: false, stdin: 'ignore', cancelSignal: signal });
  throwIfInterrupted(signal);
  if (result.code === 'ENOENT')
    throw new HpcrunError('MKSQUASHFS_MISSING', 'the mksquashfs program was not found', { hint });
  const version = /version (\d+)\.(\d+)/.exec(result.stdout);
  const [major, minor] = [Number(version?.[1]), Number(version?.[2])];
  if (!(major > 4 || (major === 4 && minor >= 5))) {
    const found = result.stdout.split('\n')[0] ?? '';
    throw new HpcrunError('MKSQUASHFS_MISSING', `mksquashfs is too old to read a tar: ${found}`, { hint });
  }
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
