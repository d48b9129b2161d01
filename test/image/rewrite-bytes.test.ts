import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rewriteRootfs, type RewriteOptions } from '../../src/image/rewrite-rootfs.js';
import { renderTarEntry, type TarEntry } from '../../src/image/tar-header.js';
import { collect, inPieces } from '../support/chunks.js';
import { failureOf } from '../support/failure.js';
import { endOfTar, renderRawEntry, type RawEntry } from '../support/raw-tar.js';

const open: RewriteOptions = { permissions: 'open', directories: [], normalizedPaths: [] };

const rewrite = async (bytes: Buffer, additions: TarEntry[], sizes: number[], options = open) =>
  await collect(rewriteRootfs(inPieces(bytes, sizes), additions, options));

describe('rewriteRootfs, byte by byte', () => {
  const byteName = (minLength: number, maxLength: number) =>
    fc
      .uint8Array({ min: 1, minLength, maxLength })
      .map((bytes) => `app/${Buffer.from(bytes).toString('latin1').replaceAll('/', '_')}`);
  const name = fc.oneof(byteName(1, 90), byteName(96, 96), byteName(97, 400));
  const size = fc.oneof(fc.constantFrom(0, 1, 511, 512, 513, 1024), fc.nat(3000));
  const common = {
    name,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    mtime: fc.nat(2 ** 31),
    longNames: fc.constantFrom('pax' as const, 'gnu' as const),
  };
  const file = fc.record({
    ...common,
    type: fc.constant('0'),
    linkname: fc.constant(''),
    body: size.chain((length) =>
      fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Buffer.from(bytes)),
    ),
  });
  const bodiless = fc.record({
    ...common,
    type: fc.constantFrom('1', '2', '3', '5', '6'),
    linkname: name,
    body: fc.constant(Buffer.alloc(0)),
  });
  const stub = fc.record({
    ...common,
    name: fc.oneof(
      fc.constantFrom('.dockerenv', './etc/hosts', 'dev/console'),
      byteName(1, 300).map((text) => `dev/${text.replaceAll(/[\n\r]/g, '_')}`),
    ),
    type: fc.constant('0'),
    linkname: fc.constant(''),
    body: size.map((length) => Buffer.alloc(length, 's')),
  });
  const entries = fc.array(
    fc.oneof(
      file.map((entry) => ({ entry, isStub: false })),
      bodiless.map((entry) => ({ entry, isStub: false })),
      stub.map((entry) => ({ entry, isStub: true })),
    ),
    { maxLength: 12 },
  );
  const opened = (entry: RawEntry): RawEntry =>
    entry.type === '2'
      ? entry
      : { ...entry, mode: entry.mode | ((entry.mode & 0o500) >> 3) | ((entry.mode & 0o500) >> 6) };

  it('changes nothing but modes, for any entries and any cut of the stream', async () => {
    const appended = (await rewrite(endOfTar, [], [1024])).subarray(0, -1024);
    const added: TarEntry = { path: 'added', mode: 0o644, content: { type: 'file', bytes: Buffer.from('x') } };
    const tail = [appended, renderTarEntry(added), endOfTar];
    const pieces = fc.oneof(
      fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1, maxLength: 10 }),
      fc.constantFrom(512, 511, 513, 1, 1 << 20).map((size) => [size]),
    );
    await fc.assert(
      fc.asyncProperty(entries, pieces, async (list, sizes) => {
        const tar = Buffer.concat([...list.map(({ entry }) => renderRawEntry(entry)), endOfTar]);
        const kept = list.filter(({ isStub }) => !isStub).map(({ entry }) => renderRawEntry(opened(entry)));
        const expected = Buffer.concat([...kept, ...tail]);
        const actual = await rewrite(tar, [added], sizes);
        expect(actual.equals(expected)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it('fails for any tar that is cut short', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(file, { minLength: 1, maxLength: 4 }), fc.nat(), async (list, at) => {
        const tar = Buffer.concat(list.map((entry) => renderRawEntry(entry)));
        const error = await failureOf(() => rewrite(tar.subarray(0, at % (tar.length + 1)), [], [777]));
        expect(error.code).toBe('CONVERSION_FAILED');
      }),
    );
  });
});
