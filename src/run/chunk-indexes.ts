import { join } from 'node:path';
import { ChunkIndexCache } from '../transfer/chunk-index-cache.js';
import type { Session } from './session.js';

/** Chunk indexes that are kept on this machine. */
export function chunkIndexes({ inputs }: Pick<Session, 'inputs'>): ChunkIndexCache {
  return new ChunkIndexCache(join(inputs.directories.cache, 'chunks'));
}
