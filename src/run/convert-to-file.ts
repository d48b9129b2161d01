import { randomBytes } from 'node:crypto';
import { chmod, constants, copyFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HpcrunError, isMissing, isSystemError, messageOf } from '../errors.js';
import { convertImage, digest, type ConvertedImage, type ConvertOptions } from '../image/convert.js';
import type { ContainerEngine, ImageInfo } from '../image/engine.js';
import type { CachedImage } from '../image/sif-cache.js';
import { assembleSif } from '../image/sif-file.js';
import { mtimeOf } from '../local-file.js';

const abandonedAfterMs = 10 * 60 * 1000;

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
  const { sha256, sizeBytes } = await writeWhole(outputPath, async (temporary): Promise<ConvertedImage> => {
    if (overlays.length === 0) {
      await copyFile(base.path, temporary, constants.COPYFILE_FICLONE);
      return base;
    }
    const paths = overlays.map(({ path }) => path);
    await assembleSif(base.path, paths, info, temporary, signal);
    return await digest(temporary, signal);
  });
  return { sha256, sizeBytes };
}

/** Converts an image straight into a file, which appears under its name when it is complete. */
export async function convertToFile(
  engine: ContainerEngine,
  info: ImageInfo,
  outputPath: string,
  options: ConvertOptions,
): Promise<Awaited<ReturnType<typeof convertImage>>> {
  return await writeWhole(outputPath, (temporary) => convertImage(engine, info, temporary, options));
}

async function writeWhole<T>(outputPath: string, write: (temporary: string) => Promise<T>): Promise<T> {
  const prefix = `.${basename(outputPath)}.`;
  const temporary = join(dirname(outputPath), `${prefix}${randomBytes(4).toString('hex')}.part`);
  try {
    await removeAbandoned(dirname(outputPath), prefix);
    // As `apptainer build` leaves it: a SIF can be run like a program, by whom the umask allows.
    await writeFile(temporary, '', { mode: 0o777, flag: 'wx' });
    const { mode } = await stat(temporary);
    const result = await write(temporary);
    await chmod(temporary, mode & 0o777);
    await rename(temporary, outputPath);
    return result;
  } catch (error) {
    await rm(temporary, { force: true });
    throw diskProblem(error, outputPath) ?? error;
  }
}

/** Removes what conversions to the same file have left behind that were killed. */
async function removeAbandoned(directory: string, prefix: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.startsWith(prefix) || !/^[0-9a-f]{8}\.part$/.test(name.slice(prefix.length))) continue;
    const path = join(directory, name);
    // One that is being written changes all the time.
    if (Date.now() - (await mtimeOf(path)) > abandonedAfterMs) await rm(path, { force: true });
  }
}

const full = ['ENOSPC', 'EDQUOT'];
const forbidden = ['EACCES', 'EPERM', 'EROFS', 'ENOENT', 'ENOTDIR'];

function diskProblem(error: unknown, path: string): HpcrunError | undefined {
  const code = [...full, ...forbidden].find((each) => isSystemError(error, each));
  if (code === undefined) return undefined;
  return new HpcrunError('CONVERSION_FAILED', `${path} cannot be written: ${messageOf(error)}`, {
    hint: full.includes(code)
      ? 'The disk is full: free some space, or write to another one.'
      : 'Does its directory exist, and may you write there?',
    cause: error,
  });
}
