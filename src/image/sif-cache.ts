import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isMissing } from '../errors.js';
import { writeAtomically } from '../local-file.js';
import { recipeVersion, type Compression, type ConvertedImage } from './convert.js';

const entrySchema = z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/), sizeBytes: z.int() });

// An unfinished file this old belongs to a conversion that was killed.
const abandonedAfterMs = 24 * 60 * 60 * 1000;

/** A SIF in the cache. */
export interface CachedImage extends ConvertedImage {
  path: string;
}

/**
 * SIFs already converted on this machine, found by what they were made from: the image's id, the recipe and its
 * options. The whole directory may be deleted at any time.
 */
export class SifCache {
  constructor(private readonly directory: string) {}

  /** Undefined if this image has not been converted this way, or its file is gone or cut short. */
  async find(imageId: string, compression: Compression): Promise<CachedImage | undefined> {
    try {
      const text = await readFile(this.entryPath(imageId, compression), 'utf8');
      const entry = entrySchema.parse(JSON.parse(text));
      const path = this.imagePath(entry.sha256);
      const { size } = await stat(path);
      return size === entry.sizeBytes ? { ...entry, path } : undefined;
    } catch (error) {
      if (isMissing(error) || error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
      throw error;
    }
  }

  /** A new name to convert into, on the same disk as the cache. */
  async temporaryPath(): Promise<string> {
    await mkdir(this.directory, { recursive: true });
    await this.removeAbandoned();
    return join(this.directory, `.${randomBytes(8).toString('hex')}.part`);
  }

  /** Moves a finished SIF into the cache. */
  async store(
    imageId: string,
    compression: Compression,
    temporary: string,
    image: ConvertedImage,
  ): Promise<CachedImage> {
    const path = this.imagePath(image.sha256);
    await rename(temporary, path);
    const entry = { sha256: image.sha256, sizeBytes: image.sizeBytes };
    await writeAtomically(this.entryPath(imageId, compression), JSON.stringify(entry));
    return { ...image, path };
  }

  private imagePath(sha256: string): string {
    return join(this.directory, `${sha256}.sif`);
  }

  private entryPath(imageId: string, compression: Compression): string {
    const recipe = JSON.stringify({ imageId, compression, recipeVersion });
    return join(this.directory, `${createHash('sha256').update(recipe).digest('hex')}.json`);
  }

  private async removeAbandoned(): Promise<void> {
    for (const name of await readdir(this.directory)) {
      if (!name.endsWith('.part')) continue;
      const path = join(this.directory, name);
      if (Date.now() - (await mtimeOf(path)) > abandonedAfterMs) await rm(path, { force: true });
    }
  }
}

/** Now, for a file that another process has just finished or removed. */
async function mtimeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (isMissing(error)) return Date.now();
    throw error;
  }
}
