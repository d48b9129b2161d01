import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PartialFile } from '../../src/transfer/partial-file.js';
import { removeAbandoned } from '../../src/transfer/pull-files.js';
import type { RemoteFile } from '../../src/transfer/remote-file.js';
import { checkpointBytes, planSections } from '../../src/transfer/sections.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const content = randomBytes(40_000_001);
const file: RemoteFile = {
  path: 'out/model.pt',
  source: 'work/out/model.pt',
  type: 'file',
  sizeBytes: content.length,
  mtime: 1_700_000_000.5,
  isExecutable: false,
  linkTarget: '',
};
const { signal } = new AbortController();

/** Brings so many bytes of each section. */
async function bring(root: string, bytesEach: number): Promise<{ partial: PartialFile; before: number }> {
  const partial = new PartialFile(file, root);
  const receivers = await partial.open(signal);
  const before = receivers.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);
  for (const receiver of receivers) {
    const { from, length } = receiver.section;
    const bytes = content.subarray(from + receiver.receivedBytes, from + Math.min(length, bytesEach));
    for (let at = 0; at < bytes.length; at += 300_000) receiver.push(bytes.subarray(at, at + 300_000));
  }
  return { partial, before };
}

describe('planSections', () => {
  it('covers a file without gaps, from one whole MiB to the next', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 35 }), (size) => {
        let end = 0;
        for (const { from, length } of planSections(size)) {
          expect(from).toBe(end);
          expect(from % (1 << 20)).toBe(0);
          expect(length).toBeGreaterThan(0);
          end = from + length;
        }
        expect(end).toBe(size);
      }),
      { numRuns: 200 },
    );
  });
});

describe('PartialFile', () => {
  it('goes on where an earlier pull was cut off, at a loss of less than a checkpoint a section', async () => {
    const root = await makeTemporaryDirectory();
    const first = await bring(root, 12_000_000);
    first.partial.close();
    const second = await bring(root, content.length);
    expect(first.before).toBe(0);
    const sections = second.partial.sections.length;
    expect(second.before).toBeGreaterThan(sections * (12_000_000 - checkpointBytes) - checkpointBytes);
    second.partial.finish();
    expect(readFileSync(second.partial.path).equals(content)).toBe(true);
    expect(statSync(second.partial.path).mtimeMs).toBe(1_700_000_000_500);
    expect(readdirSync(root)).toHaveLength(1);
  });

  it.each<[string, (path: string, journal: string) => void]>([
    [
      'is shorter than the journal says',
      (path) => {
        truncateSync(path, 1000);
      },
    ],
    [
      'holds other bytes',
      (path) => {
        writeFileSync(path, Buffer.alloc(content.length));
      },
    ],
    [
      'has a journal whose last line broke off',
      (_, journal) => {
        appendFileSync(journal, '0 999999999 abc');
      },
    ],
    [
      'has a journal that tells of more than there is',
      (_, journal) => {
        appendFileSync(journal, `0 99999999 ${'0'.repeat(64)}\n`);
      },
    ],
  ])('is whole in the end where what was left %s', async (_, damage) => {
    const root = await makeTemporaryDirectory();
    const { partial: left } = await bring(root, 10_000_000);
    left.close();
    const journal = readdirSync(root).find((name) => name.endsWith('.journal.part')) ?? '';
    damage(left.path, join(root, journal));
    const { partial } = await bring(root, content.length);
    partial.finish();
    const sum = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    expect(sum(readFileSync(partial.path))).toBe(sum(content));
  });

  it('is left by the next pull if the file is still the same there, and removed if not', async () => {
    const root = await makeTemporaryDirectory();
    const { partial } = await bring(root, 10_000_000);
    partial.close();
    removeAbandoned(root, [file]);
    expect(readdirSync(root)).toHaveLength(2);
    removeAbandoned(root, [{ ...file, mtime: file.mtime + 1 }]);
    expect(readdirSync(root)).toEqual([]);
  });
});
