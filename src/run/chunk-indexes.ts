import { join } from 'node:path';
import type { Directories } from '../config/directories.js';
import { ChunkIndexCache } from '../transfer/chunk-index-cache.js';

/** Chunk indexes that are kept on this machine. */
export function chunkIndexes({ cache }: Pick<Directories, 'cache'>): ChunkIndexCache {
  return new ChunkIndexCache(join(cache, 'chunks'));
}
