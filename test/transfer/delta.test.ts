import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { blockBytes, blockRanges, countBlocks, dealBlocks, skipBytes } from '../../src/transfer/blocks.js';
import { idBytes } from '../../src/transfer/chunker.js';
import type { ChunkIndex } from '../../src/transfer/chunk-index.js';
import { newBytesOf, parsePlan, planDelta, planWhole, renderPlan, type Segment } from '../../src/transfer/delta.js';

/** A file made of named pieces: the same name, the same bytes. */
function fileOf(names: number[]): { bytes: Buffer; index: ChunkIndex } {
  const pieces = names.map((name) => Buffer.alloc(10 + (name % 7), `${name},`));
  const chunks = pieces.map((piece) => ({
    id: createHash('sha256').update(piece).digest().subarray(0, idBytes),
    length: piece.length,
  }));
  const bytes = Buffer.concat(pieces);
  return { bytes, index: { sizeBytes: bytes.length, chunks } };
}

const imageName = (number: number) => String(number).repeat(64).slice(0, 64);
const names = fc.array(fc.nat(30), { maxLength: 40 });

describe('planDelta', () => {
  it('gives segments that are the target, one behind the other', () => {
    fc.assert(
      fc.property(names, fc.array(names, { maxLength: 4 }), (target, others) => {
        const file = fileOf(target);
        const bases = others.map((other, number) => ({ image: imageName(number), file: fileOf(other) }));
        const plan = planDelta(
          file.index,
          bases.map((base) => ({ image: base.image, index: base.file.index })),
        );
        const assembled = plan.map((segment) => {
          const source =
            segment.kind === 'new' ? file.bytes : bases.find(({ image }) => image === segment.image)?.file.bytes;
          return source?.subarray(segment.offset, segment.offset + segment.length) ?? Buffer.alloc(0);
        });
        expect(Buffer.concat(assembled).equals(file.bytes)).toBe(true);
        const known = new Set(others.flat());
        const expected = target.filter((name) => !known.has(name)).map((name) => 10 + (name % 7));
        expect(newBytesOf(plan)).toBe(expected.reduce((sum, length) => sum + length, 0));
        expect(parsePlan(renderPlan(plan), file.bytes.length)).toEqual(plan);
      }),
      { numRuns: 300 },
    );
  });

  it('makes one segment of what follows each other in a base', () => {
    const base = { image: imageName(1), index: fileOf([1, 2, 3, 4, 5, 3, 9]).index };
    expect(planDelta(fileOf([1, 2, 3, 4, 5]).index, [base])).toHaveLength(1);
    // The second 3 is taken where the copy can go on.
    expect(planDelta(fileOf([5, 3, 9]).index, [base])).toHaveLength(1);
    expect(planDelta(fileOf([1, 2, 8, 7, 4, 5]).index, [base]).map(({ kind }) => kind)).toEqual([
      'copy',
      'new',
      'copy',
    ]);
  });
});

describe('parsePlan', () => {
  it.each([
    ['another size', 'new 0 10\n', 11],
    ['bytes left out', 'new 0 10\nnew 12 8\n', 20],
    ['a copy of nothing', 'copy 0 10\n', 10],
    ['a name that is no digest', `copy 0 10 ../../etc/passwd\n`, 10],
    ['no length', 'new 0 0\n', 0],
    ['other words', 'rm -rf /\n', 10],
    ['a line cut short', 'new 0 10', 10],
  ])('refuses %s', (_, text, size) => {
    expect(parsePlan(text, size)).toBeUndefined();
  });
});

describe('blocks', () => {
  const plans = fc
    .array(fc.record({ isNew: fc.boolean(), length: fc.integer({ min: 1, max: 3 * blockBytes }) }), { maxLength: 8 })
    .map((parts) => {
      let offset = 0;
      return parts.map(({ isNew, length }): Segment => {
        const segment: Segment = isNew
          ? { kind: 'new', offset, length }
          : { kind: 'copy', image: imageName(1), offset: 0, length };
        offset += length;
        return segment;
      });
    });
  const merged = (ranges: { offset: number; length: number }[]) =>
    ranges.reduce<{ offset: number; length: number }[]>((all, { offset, length }) => {
      const last = all.at(-1);
      if (last && last.offset + last.length === offset) last.length += length;
      else all.push({ offset, length });
      return all;
    }, []);

  it('cover the new bytes of a plan, each once and in order', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const total = newBytesOf(plan);
        const ranges = Array.from({ length: countBlocks(total) }, (_, block) => blockRanges(plan, block)).flat();
        expect(merged(ranges)).toEqual(merged(skipBytes(plan, 0)));
      }),
    );
  });

  it('leave out what has arrived', () => {
    const expand = (ranges: { offset: number; length: number }[]) =>
      ranges.flatMap(({ offset, length }) => Array.from({ length }, (_, index) => offset + index));
    const small = plans.map((plan) => plan.map((segment) => ({ ...segment, length: 1 + (segment.length % 50) })));
    fc.assert(
      fc.property(small, fc.nat(400), (plan, arrived) => {
        expect(expand(skipBytes(plan, arrived))).toEqual(expand(skipBytes(plan, 0)).slice(arrived));
      }),
    );
  });

  it('are dealt to channels in turn, all of them', () => {
    expect(dealBlocks([1, 2, 3, 5, 8], 2)).toEqual([
      [1, 3, 8],
      [2, 5],
    ]);
    expect(dealBlocks([4], 6)).toEqual([[4]]);
    expect(dealBlocks([], 6)).toEqual([]);
  });

  it('are none for an empty file', () => {
    expect(planWhole(0)).toEqual([]);
    expect(countBlocks(0)).toBe(0);
  });
});
