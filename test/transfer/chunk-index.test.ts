import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { idBytes } from '../../src/transfer/chunker.js';
import {
  decodeIndex,
  decodeSketch,
  encodeIndex,
  similarity,
  sketchBytes,
  type ChunkIndex,
  type Sketch,
} from '../../src/transfer/chunk-index.js';

function indexOf(seeds: number[]): ChunkIndex {
  const chunks = seeds.map((seed) => ({
    id: createHash('sha256').update(String(seed)).digest().subarray(0, idBytes),
    length: 20_000 + (seed % 1000),
  }));
  return { sizeBytes: chunks.reduce((sum, { length }) => sum + length, 0), chunks };
}

function sketchOf(index: ChunkIndex): Sketch {
  const sketch = decodeSketch(encodeIndex(index).subarray(0, sketchBytes));
  if (!sketch) throw new Error('there is no sketch');
  return sketch;
}

const anyIndex = fc.array(fc.nat(5000), { maxLength: 300 }).map(indexOf);

describe('a chunk index', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(anyIndex, (index) => {
        expect(decodeIndex(encodeIndex(index))).toEqual(index);
      }),
    );
  });

  it('is refused with any bit flipped, or cut short anywhere', () => {
    const file = encodeIndex(indexOf([1, 2, 3, 4, 5]));
    fc.assert(
      fc.property(fc.nat(file.length * 8 - 1), (bit) => {
        const damaged = Buffer.from(file);
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(decodeIndex(damaged)).toBeUndefined();
      }),
      { numRuns: 500 },
    );
    for (let length = 0; length < file.length; length += 7) {
      expect(decodeIndex(file.subarray(0, length))).toBeUndefined();
    }
  });

  it('tells by its head how much two images share', () => {
    const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);
    const base = sketchOf(indexOf(range(0, 1000)));
    expect(similarity(base, base)).toBe(1);
    expect(similarity(base, sketchOf(indexOf(range(5000, 6000))))).toBe(0);
    const half = similarity(base, sketchOf(indexOf(range(333, 1333))));
    expect(half).toBeGreaterThan(0.3);
    expect(half).toBeLessThan(0.7);
    expect(similarity(base, sketchOf(indexOf([])))).toBe(0);
  });
});
