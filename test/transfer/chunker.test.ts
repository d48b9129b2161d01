import fc from 'fast-check';
import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Chunker, chunkBytes, type Chunk } from '../../src/transfer/chunker.js';

function cut(pieces: Buffer[]): Chunk[] {
  const chunks: Chunk[] = [];
  const chunker = new Chunker((chunk) => chunks.push(chunk));
  for (const piece of pieces) chunker.push(piece);
  chunker.end();
  return chunks;
}

/** Bytes that look random, or repeat, as images do. */
const content = fc
  .array(
    fc.record({
      seed: fc.nat(1000),
      length: fc.integer({ min: 1, max: 400_000 }),
      kind: fc.constantFrom('random', 'zeros', 'text'),
    }),
    { maxLength: 6 },
  )
  .map((parts) =>
    Buffer.concat(
      parts.map(({ seed, length, kind }) => {
        if (kind === 'zeros') return Buffer.alloc(length);
        if (kind === 'text') return Buffer.alloc(length, `line ${seed}\n`);
        return stream(seed, length);
      }),
    ),
  );

function stream(seed: number, length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, index) =>
    createHash('sha256').update(`${seed} ${index}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, length);
}

function split(bytes: Buffer, at: number[]): Buffer[] {
  const ends = [...new Set(at.map((position) => position % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...ends].map((from, index) => bytes.subarray(from, ends[index] ?? bytes.length));
}

describe('Chunker', () => {
  it('cuts any bytes into the same chunks, however they come', () => {
    fc.assert(
      fc.property(content, fc.array(fc.nat(2_000_000), { maxLength: 20 }), (bytes, at) => {
        expect(cut(split(bytes, at))).toEqual(cut([bytes]));
      }),
      { numRuns: 40 },
    );
  });

  it('gives chunks that are the input, one behind the other, with the digests of their content', () => {
    fc.assert(
      fc.property(content, (bytes) => {
        let at = 0;
        for (const { length, id } of cut([bytes])) {
          const digest = createHash('sha256')
            .update(bytes.subarray(at, at + length))
            .digest();
          expect(id.equals(digest.subarray(0, id.length))).toBe(true);
          at += length;
        }
        expect(at).toBe(bytes.length);
      }),
      { numRuns: 40 },
    );
  });

  it('keeps to its bounds, but for the last one', () => {
    const chunks = cut([randomBytes(8 << 20), Buffer.alloc(2 << 20)]);
    for (const { length } of chunks.slice(0, -1)) {
      expect(length).toBeGreaterThanOrEqual(chunkBytes.minimum);
      expect(length).toBeLessThanOrEqual(chunkBytes.maximum);
    }
  });

  it('finds most chunks again behind an insertion', () => {
    const bytes = randomBytes(4 << 20);
    const ids = new Set(cut([bytes]).map(({ id }) => id.toString('hex')));
    const changed = cut([bytes.subarray(0, 1_000_000), Buffer.from('one more line'), bytes.subarray(1_000_000)]);
    const fresh = changed.filter(({ id }) => !ids.has(id.toString('hex')));
    expect(fresh.length).toBeGreaterThan(0);
    expect(fresh.length).toBeLessThanOrEqual(3);
  });

  it('has nothing to say of nothing', () => {
    expect(cut([])).toEqual([]);
    expect(cut([Buffer.alloc(0)])).toEqual([]);
  });
});
