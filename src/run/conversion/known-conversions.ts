import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isMissing } from '../../errors.js';
import { writeAtomically } from '../../local-file.js';
import type { ApptainerWay, ConvertedFile } from './way-in.js';

const entrySchema = z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/), sizeBytes: z.int() });

// Raised when the same image would be converted otherwise than before.
const recipeVersion = 1;

const abandonedAfterMs = 24 * 60 * 60 * 1000;

export interface KnownConversionsOptions {
  /** Where this machine keeps what it knows of the cluster. */
  stateDirectory: string;
  /** For SIFs that are on this machine; may be deleted at any time. */
  fileDirectory: string;
  /** Above this, the files used longest ago go. */
  limitBytes: number;
}

/**
 * What Apptainer has converted before: image and way → the file in the cluster's store, or here. Whether a file is still on the
 * cluster, the submission asks anyway; if not, `forget` it and convert again.
 */
export class KnownConversions {
  constructor(private readonly options: KnownConversionsOptions) {}

  async find(imageId: string, way: ApptainerWay): Promise<ConvertedFile | undefined> {
    try {
      const entry = entrySchema.parse(JSON.parse(await readFile(this.entryPath(imageId, way), 'utf8')));
      if (way.place === 'cluster') return { place: 'cluster', isNative: false, ...entry };
      const path = this.filePath(entry.sha256);
      if ((await stat(path)).size !== entry.sizeBytes) return undefined;
      const now = new Date();
      await utimes(path, now, now);
      return { place: 'local', isNative: false, path, ...entry };
    } catch (error) {
      if (isMissing(error) || error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
      throw error;
    }
  }

  /** A new name for a local way to write to. */
  async temporaryPath(): Promise<string> {
    const { fileDirectory } = this.options;
    await mkdir(fileDirectory, { recursive: true });
    for (const { path, mtimeMs } of await this.list('.part')) {
      if (Date.now() - mtimeMs > abandonedAfterMs) await rm(path, { force: true });
    }
    return join(fileDirectory, `.${randomBytes(8).toString('hex')}.part`);
  }

  /** Remembers a conversion; a file that is here is moved to where it stays. */
  async store(imageId: string, way: ApptainerWay, file: ConvertedFile): Promise<ConvertedFile> {
    const { sha256, sizeBytes } = file;
    let stored = file;
    if (file.place === 'local') {
      stored = { ...file, path: this.filePath(sha256) };
      await rename(file.path, stored.path);
      await this.trim(stored.path);
    }
    await writeAtomically(this.entryPath(imageId, way), JSON.stringify({ sha256, sizeBytes }));
    return stored;
  }

  async forget(imageId: string, way: ApptainerWay): Promise<void> {
    await rm(this.entryPath(imageId, way), { force: true });
  }

  private async trim(kept: string): Promise<void> {
    const files = (await this.list('.sif')).sort((a, b) => b.mtimeMs - a.mtimeMs);
    let bytes = 0;
    for (const { path, size } of files) {
      bytes += size;
      if (bytes > this.options.limitBytes && path !== kept) await rm(path, { force: true });
    }
  }

  private async list(ending: string): Promise<{ path: string; mtimeMs: number; size: number }[]> {
    const { fileDirectory } = this.options;
    const names = (await readdir(fileDirectory)).filter((name) => name.endsWith(ending));
    return await Promise.all(
      names.map(async (name) => {
        const path = join(fileDirectory, name);
        const { mtimeMs, size } = await statOrNew(path);
        return { path, mtimeMs, size };
      }),
    );
  }

  private filePath(sha256: string): string {
    return join(this.options.fileDirectory, `${sha256}.sif`);
  }

  private entryPath(imageId: string, { recipe }: ApptainerWay): string {
    const key = createHash('sha256').update(JSON.stringify({ imageId, recipe, recipeVersion })).digest('hex');
    return join(this.options.stateDirectory, 'conversions', `${key}.json`);
  }
}

/** An empty file of now, for one that another process has just moved or removed. */
async function statOrNew(path: string): Promise<{ mtimeMs: number; size: number }> {
  try {
    return await stat(path);
  } catch (error) {
    if (isMissing(error)) return { mtimeMs: Date.now(), size: 0 };
    throw error;
  }
}
