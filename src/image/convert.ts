import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { throwIfInterrupted } from '../errors.js';
import { renderContainerMetadata } from './container-metadata.js';
import type { ContainerEngine, ImageInfo, RootfsTar } from './engine.js';
import { rewriteRootfs } from './rewrite-rootfs.js';
import { RootfsSurveyor, type RootfsSurvey } from './rootfs-survey.js';
import { partitionOffset } from './sif.js';
import { completeSif } from './sif-file.js';
import { findMksquashfs, writeSquashfs, type Compression, type Mksquashfs } from './squash.js';

/** Raised whenever the same image would give other bytes than before, so that no cached SIF outlives its recipe. */
export const recipeVersion = 2;

export interface ConvertedImage {
  /** Hex, of the whole file. */
  sha256: string;
  sizeBytes: number;
}

export interface ConvertOptions {
  compression: Compression;
  /** `open`: everybody may read and search what its owner may. */
  permissions: 'open' | 'keep';
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
): Promise<ConvertedImage & { survey: RootfsSurvey }> {
  throwIfInterrupted(options.signal);
  const mksquashfs = await findMksquashfs(engine, options.signal);
  try {
    const survey = await writePartition(engine, info, outputPath, { ...options, mksquashfs });
    await completeSif(outputPath, info);
    return { ...(await digest(outputPath, options.signal)), survey };
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
  options: ConvertOptions & { mksquashfs: Mksquashfs },
): Promise<RootfsSurvey> {
  const rootfs = await engine.exportRootfs(info, { signal: options.signal });
  const surveyor = new RootfsSurveyor(info.volumes);
  try {
    const tar = rewriteRootfs(readExport(rootfs, options.onProgress), renderContainerMetadata(info), {
      permissions: options.permissions,
      directories: conversionDirectories(info),
      // Where a VOLUME is to be mounted, the engine makes a directory in the container it was asked to create.
      normalizedPaths: info.volumes.flatMap(withAncestors),
      observe: surveyor.observe,
    });
    await writeSquashfs(tar, outputPath, { ...options, offset: partitionOffset });
    return surveyor.survey();
  } finally {
    await rootfs.dispose();
  }
}

/** Directories that Docker makes when a container starts and that a SIF has to have. */
export function conversionDirectories({ workingDirectory, volumes }: ImageInfo): string[] {
  return [workingDirectory, ...volumes].filter((path) => path !== '/');
}

function withAncestors(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '');
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`);
}

/** The bytes of an export. When the engine fails, the tar ends early: the engine's own words come first. */
export async function* readExport(
  { pieces, completed }: Pick<RootfsTar, 'pieces' | 'completed'>,
  onProgress: ((bytes: number) => void) | undefined,
): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of pieces) {
    bytes += chunk.length;
    onProgress?.(bytes);
    yield chunk;
  }
  await completed;
}

/** The sha256 and size of a file. */
export async function digest(path: string, signal: AbortSignal): Promise<ConvertedImage> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { sha256: hash.digest('hex'), sizeBytes };
}
