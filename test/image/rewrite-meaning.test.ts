import fc from 'fast-check';
import { extract } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { openToAll, rewriteRootfs } from '../../src/image/rewrite-rootfs.js';
import { collect, inPieces } from '../support/chunks.js';
import { endOfTar, paxRecord, renderRawEntry } from '../support/raw-tar.js';

const types: Record<string, string> = { '0': 'file', '1': 'link', '2': 'symlink', '5': 'directory', '6': 'fifo' };

const path = fc.stringMatching(/^[a-z]{1,20}(?:\/[a-z]{1,30}){0,6}$/);
const target = fc.tuple(fc.constantFrom('', '/', '../', './', '../../'), path).map((parts) => parts.join(''));
const anyEntry = fc.record({
  name: path.map((inner) => `app/${inner}`),
  type: fc.constantFrom(...Object.keys(types)),
  linkname: target,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  mtime: fc.integer({ min: -(2 ** 31), max: 2 ** 33 }),
  body: fc.uint8Array({ maxLength: 1500 }).map((bytes) => Buffer.from(bytes)),
  longNames: fc.constantFrom('pax' as const, 'gnu' as const),
  /** What pax records tell although the entry itself could. */
  told: fc.uniqueArray(fc.constantFrom('path', 'linkpath', 'mtime', 'size', 'xattr', 'unknown')),
});
type AnyEntry = typeof anyEntry extends fc.Arbitrary<infer Entry> ? Entry : never;

const isLink = ({ type }: AnyEntry) => type === '1' || type === '2';
const maximumTime = 0xffffffff;

const renderEntry = (entry: AnyEntry) => {
  const body = entry.type === '0' ? entry.body : Buffer.alloc(0);
  const linkname = isLink(entry) ? entry.linkname : '';
  // A header holds no time before 1970.
  const isTimeTold = entry.told.includes('mtime') || entry.mtime < 0;
  const records = [
    ...(entry.told.includes('path') ? [paxRecord('path', entry.name)] : []),
    ...(entry.told.includes('linkpath') && isLink(entry) ? [paxRecord('linkpath', linkname)] : []),
    ...(entry.told.includes('size') ? [paxRecord('size', String(body.length))] : []),
    ...(isTimeTold ? [paxRecord('mtime', String(entry.mtime))] : []),
    ...(entry.told.includes('xattr') ? [paxRecord('SCHILY.xattr.user.any', 'a=\n')] : []),
    ...(entry.told.includes('unknown') ? [paxRecord('VENDOR.any', 'value')] : []),
  ];
  const own = renderRawEntry({ ...entry, body, linkname, mtime: isTimeTold ? 0 : entry.mtime });
  if (records.length === 0) return own;
  const extended = { ...entry, name: 'x', type: 'x', mtime: 0, linkname: '', body: Buffer.from(records.join('')) };
  return Buffer.concat([renderRawEntry(extended), own]);
};

const readTar = async (bytes: Buffer) => {
  const reader = extract();
  reader.end(bytes);
  const entries = [];
  for await (const entry of reader) {
    const { name, type, mode, mtime, linkname, pax } = entry.header;
    const text = (await collect(entry)).toString('latin1');
    const xattr = (pax as Record<string, string> | null | undefined)?.['SCHILY.xattr.user.any'];
    entries.push({ name, type, mode, mtime: mtime.getTime() / 1000, linkname, text, xattr });
  }
  return entries;
};

/** Hard links may lose what stands in front of the path they lead to, which means nothing. */
const expectedTarget = (entry: AnyEntry): unknown => {
  if (entry.type !== '1') return isLink(entry) ? entry.linkname : null;
  return expect.stringMatching(new RegExp(`^(?:\\.?\\.?/)*${entry.linkname.replace(/^(?:\.?\.?\/)+/, '')}$`));
};

describe('rewriteRootfs', () => {
  it('changes the form of entries, but nothing of what they say, however the stream is cut', async () => {
    const pieces = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 5 });
    const anyPermissions = fc.constantFrom('open' as const, 'keep' as const);
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyEntry, { maxLength: 8 }),
        pieces,
        anyPermissions,
        async (entries, sizes, permissions) => {
          const tar = Buffer.concat([...entries.map(renderEntry), endOfTar]);
          const options = { permissions, directories: [], normalizedPaths: [] };
          const rewritten = await readTar(await collect(rewriteRootfs(inPieces(tar, sizes), [], options)));
          const expected = entries.map((entry) => ({
            name: entry.name,
            type: types[entry.type],
            mode: permissions === 'keep' || entry.type === '2' ? entry.mode : openToAll(entry.mode),
            mtime: Math.min(Math.max(entry.mtime, 0), entry.told.includes('mtime') ? maximumTime : Infinity),
            linkname: expectedTarget(entry),
            text: entry.type === '0' ? entry.body.toString('latin1') : '',
            xattr: entry.told.includes('xattr') ? 'a=\n' : undefined,
          }));
          expect(rewritten.slice(0, entries.length)).toEqual(expected);
        },
      ),
      { numRuns: 300 },
    );
  });
});
