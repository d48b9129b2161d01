import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from '../errors.js';
import { mtimeOf, writeAtomically } from '../local-file.js';
import { decodeIndex, encodeIndex, indexFile, type ChunkIndex } from './chunk-index.js';

// An index is a four-thousandth of its image.
const kept = 100;

/**
 * Chunk indexes of images on this machine and on clusters, by the sha256 of the image: what an image consists of never
 * changes. The whole directory may be deleted at any time.
 */
export class ChunkIndexCache {
  constructor(private readonly directory: string) {}

  /** Undefined if there is none, or it cannot be read. */
  async find(sha256: string): Promise<ChunkIndex | undefined> {
    try {
      return decodeIndex(await readFile(this.pathOf(sha256)));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Keeps an index as it came; undefined if it is damaged. */
  async store(sha256: string, file: Buffer): Promise<ChunkIndex | undefined> {
    const index = decodeIndex(file);
    if (!index) return undefined;
    await writeAtomically(this.pathOf(sha256), file);
    await this.trim();
    return index;
  }

  /** The index of a local image, made if need be. */
  async obtain(path: string, sha256: string, signal: AbortSignal): Promise<ChunkIndex> {
    const known = await this.find(sha256);
    if (known) return known;
    const index = await indexFile(path, signal);
    await this.store(sha256, encodeIndex(index));
    return index;
  }

  private async trim(): Promise<void> {
    const names = (await readdir(this.directory)).filter((name) => name.endsWith('.chunks'));
    if (names.length <= kept) return;
    const ages = await Promise.all(
      names.map(async (name) => ({ name, mtime: await mtimeOf(join(this.directory, name)) })),
    );
    ages.sort((a, b) => b.mtime - a.mtime);
    for (const { name } of ages.slice(kept)) await rm(join(this.directory, name), { force: true });
  }

  private pathOf(sha256: string): string {
    return join(this.directory, `${sha256}.chunks`);
  }
}
