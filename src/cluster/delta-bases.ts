import type { Connection } from '../ssh/connection.js';
import { remoteFailure } from '../ssh/remote-script.js';
import type { ChunkIndexCache } from '../transfer/chunk-index-cache.js';
import { decodeSketch, encodeIndex, similarity, sketchBytes, type ChunkIndex } from '../transfer/chunk-index.js';
import type { Base } from '../transfer/delta.js';
import { renderIndexFetch } from '../transfer/image-scripts.js';
import type { ImageSketch } from '../transfer/image-survey.js';

const maximumBases = 3;

// Images that share less than this are not worth the index that would have to be fetched.
const leastSimilarity = 0.02;

/**
 * The images on the cluster that resemble one the most, with their chunk indexes: from this machine where it has them, otherwise
 * fetched. Damaged indexes are passed over.
 */
export async function chooseBases(
  connection: Connection,
  target: ChunkIndex,
  candidates: ImageSketch[],
  { directory, indexes, signal }: { directory: string; indexes: ChunkIndexCache; signal: AbortSignal },
): Promise<Base[]> {
  const own = decodeSketch(encodeIndex(target).subarray(0, sketchBytes));
  if (!own) return [];
  const chosen = candidates
    .map(({ image, sketch }) => ({ image, score: similarity(own, sketch) }))
    .filter(({ score }) => score >= leastSimilarity)
    .sort((a, b) => b.score - a.score)
    .slice(0, maximumBases);
  const found = await Promise.all(chosen.map(async ({ image }) => ({ image, index: await indexes.find(image) })));
  const missing = found.flatMap(({ image, index }) => (index ? [] : [image]));
  const fetched =
    missing.length === 0
      ? new Map<string, ChunkIndex>()
      : await fetchIndexes(connection, missing, { directory, indexes, signal });
  return found.flatMap(({ image, index }) => {
    const known = index ?? fetched.get(image);
    return known ? [{ image, index: known }] : [];
  });
}

async function fetchIndexes(
  connection: Connection,
  images: string[],
  { directory, indexes, signal }: { directory: string; indexes: ChunkIndexCache; signal: AbortSignal },
): Promise<Map<string, ChunkIndex>> {
  const result = await connection.run(renderIndexFetch(directory), {
    stdin: Buffer.from(images.map((image) => `${image}\n`).join('')),
    signal,
  });
  if (result.exitCode !== 0) throw remoteFailure(connection, 'fetching chunk indexes', result);
  const fetched = new Map<string, ChunkIndex>();
  for (const { image, file } of splitIndexes(result.stdout)) {
    if (!images.includes(image)) continue;
    const index = await indexes.store(image, file);
    if (index) fetched.set(image, index);
  }
  return fetched;
}

function* splitIndexes(output: Buffer): Generator<{ image: string; file: Buffer }> {
  for (let at = 0; at < output.length;) {
    const lineEnd = output.indexOf(10, at);
    const head = /^([0-9a-f]{64}) (\d{1,12})$/.exec(output.toString('latin1', at, Math.max(at, lineEnd)));
    if (!head) return;
    const [, image = '', size] = head;
    at = lineEnd + 1 + Number(size);
    yield { image, file: output.subarray(lineEnd + 1, at) };
  }
}
