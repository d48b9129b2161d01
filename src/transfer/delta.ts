import { idBytes, type Chunk } from './chunker.js';
import type { ChunkIndex } from './chunk-index.js';

/** A part of a file that is to be made on the far side: sent from here, or copied from an image that is there. */
export type Segment =
  | { kind: 'new'; offset: number; length: number }
  /** `offset` is that in the image; the segments themselves follow each other. */
  | { kind: 'copy'; image: string; offset: number; length: number };

/** An image of the far side; `image` is its sha256. */
export interface Base {
  image: string;
  index: ChunkIndex;
}

interface Place {
  image: string;
  offset: number;
}

/**
 * How the target is put together from new bytes and the bases' chunks, in as few segments as the chunks allow. Pure. The
 * segments, in their order, are the target.
 */
export function planDelta(target: ChunkIndex, bases: Base[]): Segment[] {
  const places = indexPlaces(bases);
  const segments: Segment[] = [];
  let offset = 0;
  for (const chunk of target.chunks) {
    const found = places.get(keyOf(chunk));
    const last = segments.at(-1);
    // Going on where the last copy ended makes one segment of two.
    const next = last?.kind === 'copy' ? last.offset + last.length : undefined;
    const place = found?.find(({ image, offset: at }) => last?.kind === 'copy' && image === last.image && at === next);
    if (last && (place ?? (last.kind === 'new' && !found))) last.length += chunk.length;
    else if (found?.[0]) segments.push({ kind: 'copy', ...found[0], length: chunk.length });
    else segments.push({ kind: 'new', offset, length: chunk.length });
    offset += chunk.length;
  }
  return segments;
}

/** All of the target is new. */
export function planWhole(sizeBytes: number): Segment[] {
  return sizeBytes === 0 ? [] : [{ kind: 'new', offset: 0, length: sizeBytes }];
}

/** Whether what is sent is the file itself. */
export function isWholePlan(segments: Segment[]): boolean {
  return segments.length === 1 && segments[0]?.kind === 'new';
}

export function newBytesOf(segments: Segment[]): number {
  return segments.reduce((sum, { kind, length }) => (kind === 'new' ? sum + length : sum), 0);
}

/** The plan as the far side reads it: `new OFFSET LENGTH` or `copy OFFSET LENGTH SHA256` a line. */
export function renderPlan(segments: Segment[]): string {
  return segments
    .map((segment) => {
      const range = `${segment.kind} ${segment.offset} ${segment.length}`;
      return segment.kind === 'new' ? `${range}\n` : `${range} ${segment.image}\n`;
    })
    .join('');
}

/** What `renderPlan` wrote; undefined if it is not a plan for a file of this size. */
export function parsePlan(text: string, sizeBytes: number): Segment[] | undefined {
  const segments: Segment[] = [];
  let at = 0;
  for (const line of text.split('\n').slice(0, -1)) {
    const match = /^(new|copy) (\d{1,15}) ([1-9]\d{0,14})(?: ([0-9a-f]{64}))?$/.exec(line);
    if (!match) return undefined;
    const [, kind, offsetText, lengthText, image] = match;
    const [offset, length] = [Number(offsetText), Number(lengthText)];
    if (kind === 'new' && image === undefined && offset === at) segments.push({ kind, offset, length });
    else if (kind === 'copy' && image !== undefined) segments.push({ kind, image, offset, length });
    else return undefined;
    at += length;
  }
  return at === sizeBytes ? segments : undefined;
}

// A chunk that is in many places (zeros, mostly) is as good from any of the first few.
const placesKept = 4;

function indexPlaces(bases: Base[]): Map<string, Place[]> {
  const places = new Map<string, Place[]>();
  for (const { image, index } of bases) {
    let offset = 0;
    for (const chunk of index.chunks) {
      const key = keyOf(chunk);
      const known = places.get(key);
      if (!known) places.set(key, [{ image, offset }]);
      else if (known.length < placesKept) known.push({ image, offset });
      offset += chunk.length;
    }
  }
  return places;
}

function keyOf({ id, length }: Chunk): string {
  return `${id.toString('latin1', 0, idBytes)}${length}`;
}
