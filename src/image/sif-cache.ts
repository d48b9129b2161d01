import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { z } from 'zod';
import { isMissing } from '../errors.js';
import { mtimeOf, writeAtomically } from '../local-file.js';
import { recipeVersion, type ConvertedImage } from './convert.js';
import type { ImageInfo } from './engine.js';
import { rootfsSurveySchema } from './rootfs-survey.js';
import { compressions, type Compression } from './squash.js';

const partSchema = z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/), sizeBytes: z.int() });

const entrySchema = z.object({
  imageId: z.string(),
  /** With some engines, images for several architectures have the same id. */
  architecture: z.string(),
  /** What the image was called when it was converted. */
  name: z.string(),
  compression: z.enum(compressions),
  permissions: z.enum(['open', 'keep']),
  recipeVersion: z.literal(recipeVersion),
  /** The SIF, and overlays to be mounted over it, the lowest first. */
  parts: z.array(partSchema).min(1),
  layers: z.array(z.string()),
  /** Absolute paths of directories that conversion makes where the image lacks them. */
  directories: z.array(z.string()),
  survey: rootfsSurveySchema,
  /** Uncompressed, of the files in the overlays. */
  overlayBytes: z.number(),
});

type Entry = z.output<typeof entrySchema>;

// An unfinished file this old belongs to a conversion that was killed.
const abandonedAfterMs = 24 * 60 * 60 * 1000;

// What was used this recently may just be on its way to a cluster.
const inUseForMs = 60 * 60 * 1000;

const compress = promisify(gzip);
const uncompress = promisify(gunzip);

/** What decides over the bytes of a SIF, beside the image. */
export interface Recipe {
  compression: Compression;
  permissions: 'open' | 'keep';
}

type ImageKey = Pick<Entry, 'imageId' | 'architecture'>;

/** A file of the cache. */
export interface CachedPart extends ConvertedImage {
  path: string;
}

/** A converted image: a SIF and the overlays over it. */
export interface CachedImage extends Omit<Entry, 'parts'> {
  parts: CachedPart[];
}

export interface CacheListing extends CachedImage {
  usedAt: Date;
}

/** What a clean-up removed, or would. */
export interface Removal {
  images: CacheListing[];
  /** Of the files that go; parts that other images need stay. */
  bytes: number;
}

/**
 * Images already converted on this machine, found by what they were made from: the image's id, the recipe and its
 * options. The whole directory may be deleted at any time.
 */
export class SifCache {
  constructor(private readonly directory: string) {}

  /**
   * An image that has been converted with this recipe before; one compressed with gzip, which every cluster reads, also
   * where zstd is asked for. Undefined if there is none, or its files are gone or cut short.
   * @param options.overlays whether it may have overlays
   */
  async find(image: ImageKey, recipe: Recipe, options: { overlays: boolean }): Promise<CachedImage | undefined> {
    for (const compression of new Set<Compression>([recipe.compression, 'gzip'])) {
      for (const stacked of options.overlays ? [false, true] : [false]) {
        const found = await this.load(this.entryPath(image, { ...recipe, compression }, stacked));
        if (!found) continue;
        await this.touch(found);
        return found;
      }
    }
    return undefined;
  }

  /**
   * The image that shares the most layers, from the lowest up, with the given one; the newest of several. An overlay on it
   * may have the recipe: where that says gzip, all below is in gzip as well. It counts as used.
   */
  async closest(
    { layers, architecture }: Pick<ImageInfo, 'layers' | 'architecture'>,
    recipe: Recipe,
  ): Promise<CachedImage | undefined> {
    let best: { image: CacheListing; shared: number } | undefined;
    for (const image of await this.list()) {
      if (image.architecture !== architecture || image.permissions !== recipe.permissions) continue;
      if (recipe.compression === 'gzip' && image.compression !== 'gzip') continue;
      const shared = sharedLayers(image.layers, layers);
      if (shared > (best?.shared ?? 0)) best = { image, shared };
    }
    if (best) await this.touch(best.image);
    return best?.image;
  }

  /** The image that consists of this SIF alone. It counts as used. */
  async bottom({ parts: [base] }: CachedImage): Promise<CachedImage | undefined> {
    const image = (await this.list()).find(({ parts }) => parts.length === 1 && parts[0]?.sha256 === base?.sha256);
    if (image) await this.touch(image);
    return image;
  }

  private async touch(image: CachedImage): Promise<void> {
    const now = new Date();
    await utimes(this.entryPath(image, image, image.parts.length > 1), now, now);
  }

  /** All images, the one used last first. */
  async list(): Promise<CacheListing[]> {
    const found: CacheListing[] = [];
    for (const name of await this.names()) {
      if (!name.endsWith('.json')) continue;
      const path = join(this.directory, name);
      const image = await this.load(path);
      if (image) found.push({ ...image, usedAt: new Date(await mtimeOf(path)) });
    }
    return found.sort((a, b) => b.usedAt.getTime() - a.usedAt.getTime());
  }

  /** A new name to convert into, on the same disk as the cache. */
  async temporaryPath(): Promise<string> {
    // Files that only root may read in an image are opened in it.
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    await this.removeAbandoned();
    return join(this.directory, `.${randomBytes(8).toString('hex')}.part`);
  }

  /** Moves a finished file into the cache; `below` are the parts it lies on, none for a SIF. */
  async store(
    image: Omit<CachedImage, 'parts' | 'recipeVersion'>,
    below: CachedPart[],
    { temporary, ...converted }: ConvertedImage & { temporary: string },
  ): Promise<CachedImage> {
    const part = { ...converted, path: this.partPath(converted.sha256, below.length > 0) };
    await chmod(temporary, 0o600);
    await rename(temporary, part.path);
    const parts = [...below, part];
    const entry: Entry = {
      ...image,
      recipeVersion,
      parts: parts.map(({ sha256, sizeBytes }) => ({ sha256, sizeBytes })),
    };
    await writeAtomically(this.entryPath(image, image, below.length > 0), JSON.stringify(entry));
    return { ...image, recipeVersion, parts };
  }

  /** What `find` in an image printed; kept because the image may be gone when it is compared with the next one. */
  async saveListing(imageId: string, listing: Buffer): Promise<void> {
    await writeAtomically(this.listingPath(imageId), await compress(listing, { level: 1 }));
  }

  async loadListing(imageId: string): Promise<Buffer | undefined> {
    try {
      return await uncompress(await readFile(this.listingPath(imageId)));
    } catch (error) {
      // A file that was cut short is as good as none.
      if (isMissing(error) || (error instanceof Error && 'errno' in error && 'code' in error)) return undefined;
      throw error;
    }
  }

  /**
   * Removes the images used longest ago, until the rest fits into `limitBytes`. What was used within the hour stays.
   * @param options.olderThan only images that were not used since
   * @param options.dryRun only say what would go
   */
  async trim(limitBytes: number, options: { olderThan?: Date; dryRun?: boolean } = {}): Promise<Removal> {
    const images = await this.list();
    const kept: CacheListing[] = [];
    const removed: CacheListing[] = [];
    const newest = Math.min(
      options.olderThan?.getTime() ?? Infinity,
      Date.now() - (options.olderThan ? 0 : inUseForMs),
    );
    for (const image of images) {
      const fits = partBytes([...kept, image]) <= limitBytes;
      (fits || image.usedAt.getTime() > newest ? kept : removed).push(image);
    }
    const bytes = partBytes(images) - partBytes(kept);
    if (options.dryRun !== true) await this.removeAllBut(kept, removed);
    return { images: removed, bytes };
  }

  private async removeAllBut(kept: CacheListing[], removed: CacheListing[]): Promise<void> {
    for (const image of removed) {
      // The entries go first: one that names files that are gone would be passed over all the same.
      await rm(this.entryPath(image, image, image.parts.length > 1), { force: true });
    }
    // Whatever no image needs goes, be it theirs, of another version of hpcrun or of a process that was killed; but what is
    // just coming in has no entry yet.
    const needed = new Set(
      kept.flatMap((image) => [
        this.entryPath(image, image, image.parts.length > 1),
        this.listingPath(image.imageId),
        ...image.parts.map(({ path }) => path),
      ]),
    );
    const theirs = new Set(
      removed.flatMap((image) => [this.listingPath(image.imageId), ...image.parts.map(({ path }) => path)]),
    );
    for (const name of await this.names()) {
      const path = join(this.directory, name);
      if (!/\.(?:sif|sqfs|json|tree\.gz)$/.test(name) || needed.has(path)) continue;
      if (theirs.has(path) || Date.now() - (await mtimeOf(path)) > inUseForMs) await rm(path, { force: true });
    }
  }

  private async load(path: string): Promise<CachedImage | undefined> {
    try {
      const entry = entrySchema.parse(JSON.parse(await readFile(path, 'utf8')));
      const parts = entry.parts.map((part, index) => ({ ...part, path: this.partPath(part.sha256, index > 0) }));
      for (const part of parts) if ((await stat(part.path)).size !== part.sizeBytes) return undefined;
      return { ...entry, parts };
    } catch (error) {
      if (isMissing(error) || error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
      throw error;
    }
  }

  private partPath(sha256: string, isOverlay: boolean): string {
    return join(this.directory, `${sha256}.${isOverlay ? 'sqfs' : 'sif'}`);
  }

  private entryPath(
    { imageId, architecture }: ImageKey,
    { compression, permissions }: Recipe,
    stacked: boolean,
  ): string {
    const recipe = JSON.stringify({ imageId, architecture, compression, permissions, stacked, recipeVersion });
    return join(this.directory, `${createHash('sha256').update(recipe).digest('hex')}.json`);
  }

  private listingPath(imageId: string): string {
    return join(this.directory, `${createHash('sha256').update(imageId).digest('hex')}.tree.gz`);
  }

  private async names(): Promise<string[]> {
    try {
      return await readdir(this.directory);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  private async removeAbandoned(): Promise<void> {
    for (const name of await this.names()) {
      if (!name.endsWith('.part')) continue;
      const path = join(this.directory, name);
      if (Date.now() - (await mtimeOf(path)) > abandonedAfterMs) await rm(path, { force: true });
    }
  }
}

function sharedLayers(a: string[], b: string[]): number {
  const different = a.findIndex((layer, index) => layer !== b[index]);
  return different === -1 ? a.length : different;
}

/** Of the files of these images, each counted once. */
export function partBytes(images: CachedImage[]): number {
  const sizes = new Map(images.flatMap(({ parts }) => parts.map(({ path, sizeBytes }) => [path, sizeBytes])));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}
