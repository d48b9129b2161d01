import { open } from 'node:fs/promises';
import type { Segment } from './delta.js';
import type { RateLimit } from './rate-limit.js';

/**
 * New bytes travel in blocks of this length, each of which is written down as arrived. What is under way when a connection
 * breaks is sent again: with six channels at most 48 MB.
 */
export const blockBytes = 8 << 20;

/** Said behind each block, so that the end of a connection is never taken for the end of a block. */
export const blockMark = 'ok';

const readBytes = 1 << 20;
// So that a limit is kept to without jerks.
const limitedBytes = 64 << 10;

/** Where new bytes are in the local file. */
export interface Range {
  offset: number;
  length: number;
}

export function countBlocks(newBytes: number): number {
  return Math.ceil(newBytes / blockBytes);
}

/** The ranges of the local file that a block of the plan's new bytes consists of, in order. Pure. */
export function blockRanges(segments: Segment[], block: number): Range[] {
  const ranges: Range[] = [];
  let at = 0;
  for (const segment of segments) {
    if (segment.kind !== 'new') continue;
    const from = Math.max(block * blockBytes, at);
    const to = Math.min((block + 1) * blockBytes, at + segment.length);
    if (from < to) ranges.push({ offset: segment.offset + from - at, length: to - from });
    at += segment.length;
  }
  return ranges;
}

/** Of the last block, less than `blockBytes`. */
export function blockLength(block: number, newBytes: number): number {
  return Math.min(blockBytes, newBytes - block * blockBytes);
}

/** The ranges of the local file with a plan's new bytes but for the first `skipped` of them. Pure. */
export function skipBytes(segments: Segment[], skipped: number): Range[] {
  let left = skipped;
  return segments.flatMap(({ kind, offset, length }) => {
    if (kind !== 'new') return [];
    const gone = Math.min(left, length);
    left -= gone;
    return gone === length ? [] : [{ offset: offset + gone, length: length - gone }];
  });
}

/** Deals blocks to channels in turn, so that all of them arrive in about their order. */
export function dealBlocks(blocks: number[], channels: number): number[][] {
  const hands = Array.from({ length: Math.min(channels, blocks.length) }, (): number[] => []);
  for (const [index, block] of blocks.entries()) hands[index % hands.length]?.push(block);
  return hands;
}

export interface SendOptions {
  limit: RateLimit;
  signal: AbortSignal;
  onSent: (bytes: number) => void;
}

/** The bytes of blocks, each followed by its mark. Throws AbortError if the signal is given. */
export async function* readBlocks(
  path: string,
  segments: Segment[],
  blocks: number[],
  options: SendOptions,
): AsyncGenerator<Buffer> {
  for (const block of blocks) {
    yield* readRanges(path, blockRanges(segments, block), options);
    yield Buffer.from(`${blockMark}\n`, 'latin1');
  }
}

/** The bytes of ranges of a file, one behind the other. Each chunk is overwritten when the next one is asked for. */
export async function* readRanges(
  path: string,
  ranges: Range[],
  { limit, signal, onSent }: SendOptions,
): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  const buffer = Buffer.allocUnsafeSlow(limit.isSet ? limitedBytes : readBytes);
  try {
    for (const { offset, length } of ranges) {
      for (let at = offset; at < offset + length;) {
        const wanted = Math.min(buffer.length, offset + length - at);
        await limit.take(wanted, signal);
        const { bytesRead } = await file.read(buffer, 0, wanted, at);
        if (bytesRead === 0) throw new Error(`${path} became shorter while it was being sent`);
        yield buffer.subarray(0, bytesRead);
        onSent(bytesRead);
        at += bytesRead;
      }
    }
  } finally {
    await file.close();
  }
}
