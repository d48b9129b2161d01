import { randomBytes } from 'node:crypto';
import { constants, copyFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HpcrunError, isMissing } from '../errors.js';
import { digest, type ConvertedImage } from '../image/convert.js';
import type { ImageInfo } from '../image/engine.js';
import type { CachedImage } from '../image/sif-cache.js';
import { assembleSif } from '../image/sif-file.js';

/** Throws OUTPUT_EXISTS unless nothing is there, or a file that may be replaced. */
export async function requireFreeOutput(path: string, mayReplace: boolean): Promise<void> {
  try {
    const stats = await stat(path);
    if (stats.isFile() && mayReplace) return;
    throw new HpcrunError('OUTPUT_EXISTS', `${path} exists already`, {
      hint: stats.isFile() ? 'Give it another name, or replace it with --force.' : 'Give it the name of a file.',
    });
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
}

/**
 * Writes a converted image as one SIF: a copy of the cached one, or base and overlays as its partitions. The file appears
 * under its name when it is complete.
 */
export async function writeSifFile(
  image: CachedImage,
  info: ImageInfo,
  outputPath: string,
  signal: AbortSignal,
): Promise<ConvertedImage> {
  const [base, ...overlays] = image.parts;
  if (!base) throw new Error('an image has at least one part');
  const temporary = join(dirname(outputPath), `.${basename(outputPath)}.${randomBytes(4).toString('hex')}.part`);
  try {
    let converted: ConvertedImage = base;
    if (overlays.length === 0) {
      await copyFile(base.path, temporary, constants.COPYFILE_FICLONE);
    } else {
      const paths = overlays.map(({ path }) => path);
      await assembleSif(base.path, paths, info, temporary, signal);
      converted = await digest(temporary, signal);
    }
    await rename(temporary, outputPath);
    return { sha256: converted.sha256, sizeBytes: converted.sizeBytes };
  } catch (error) {
    await rm(temporary, { force: true });
    throw diskProblem(error, outputPath) ?? error;
  }
}

function diskProblem(error: unknown, path: string): HpcrunError | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code !== 'ENOSPC' && code !== 'EDQUOT' && code !== 'EACCES' && code !== 'ENOENT' && code !== 'EROFS')
    return undefined;
  return new HpcrunError('CONVERSION_FAILED', `${path} cannot be written: ${String(code)}`, {
    hint:
      code === 'ENOSPC' || code === 'EDQUOT'
        ? 'The disk is full: free some space, or write to another one.'
        : 'Does its directory exist, and is it yours?',
    cause: error,
  });
}
