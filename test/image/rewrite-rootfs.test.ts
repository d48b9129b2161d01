import { extract, pack, type Header } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { openToAll, rewriteRootfs } from '../../src/image/rewrite-rootfs.js';
import type { TarEntry } from '../../src/image/tar-header.js';
import { collect, inPieces } from '../support/chunks.js';
import { failureOf } from '../support/failure.js';
import { endOfTar, padded, paxRecord, renderRawEntry, type RawEntry } from '../support/raw-tar.js';

/** What has to be said of an entry; the rest has defaults. */
type EntryHeader = Partial<Header> & Pick<Header, 'name'>;

const makeTar = async (entries: { header: EntryHeader; text?: string }[]) => {
  const packer = pack();
  for (const { header, text } of entries) packer.entry(header, text ?? '');
  packer.finalize();
  return await collect(packer);
};

const listTar = async (bytes: Buffer) => {
  const reader = extract();
  reader.end(bytes);
  const entries = [];
  for await (const entry of reader) {
    const { name, type, mode, size, mtime } = entry.header;
    const text = (await collect(entry)).toString('utf8');
    entries.push({ name, type, mode, size, mtime: mtime.getTime() / 1000, text });
  }
  return entries;
};

const rewrite = async (bytes: Buffer, additions: TarEntry[] = [], sizes = [bytes.length]) =>
  await collect(rewriteRootfs(inPieces(bytes, sizes), additions));

const rewriteEntries = async (entries: { header: EntryHeader; text?: string }[], additions: TarEntry[] = []) =>
  await listTar(await rewrite(await makeTar(entries), additions));

const raw = (changes: Partial<RawEntry>) =>
  renderRawEntry({
    ...{ name: 'a', type: '0', mode: 0o644, mtime: 1, linkname: '', body: Buffer.alloc(0), longNames: 'pax' },
    ...changes,
  });

const mountPoints = [
  ...['dev/', 'proc/', 'sys/', 'home/', 'root/', 'etc/', 'var/', 'tmp/', 'var/tmp/'],
  ...['etc/hosts', 'etc/hostname', 'etc/resolv.conf', 'etc/passwd', 'etc/group'],
];

describe('openToAll', () => {
  it.each([
    [0o700, 0o755],
    [0o600, 0o644],
    [0o644, 0o644],
    [0o500, 0o555],
    [0o300, 0o311],
    [0o000, 0o000],
    [0o4711, 0o4755],
    [0o1777, 0o1777],
    [0o2750, 0o2755],
  ])('%o becomes %o', (mode, expected) => {
    expect(openToAll(mode)).toBe(expected);
  });
});

describe('rewriteRootfs', () => {
  it('leaves out what the engine made for its container', async () => {
    const names = [
      ...['.dockerenv', 'etc/hosts', './etc/hostname', '/etc/resolv.conf', 'dev/console', 'dev/pts/0', 'proc/1/stat'],
      ...['sys/kernel', 'run/.containerenv', '.singularity.d/env/90-environment.sh'],
    ];
    const entries = await rewriteEntries([
      ...names.map((name) => ({ header: { name }, text: 'stub' })),
      { header: { name: '.singularity.d/', type: 'directory' } },
      { header: { name: 'usr/', type: 'directory' } },
    ]);
    expect(entries.map(({ name }) => name)).toEqual(['usr/', ...mountPoints]);
    expect(entries.every(({ text }) => text === '')).toBe(true);
  });

  it('keeps what only looks like it', async () => {
    const names = ['etc/hosts.allow', 'usr/etc/hosts', 'devices/x', 'run/secrets', 'app/.dockerenv', 'procfs'];
    const entries = await rewriteEntries(names.map((name) => ({ header: { name }, text: name })));
    expect(entries.slice(0, names.length).map(({ name, text }) => [name, text])).toEqual(
      names.map((name) => [name, name]),
    );
  });

  it.each(['', './', '/'])('adds missing mount points, but none that is there as %jetc', async (prefix) => {
    const there: { header: EntryHeader; text?: string }[] = [
      { header: { name: `${prefix}etc/`, type: 'directory' } },
      { header: { name: `${prefix}etc/passwd` }, text: 'root:x:0:0::/root:/bin/sh\n' },
      { header: { name: `${prefix}tmp/`, type: 'directory', mode: 0o1777 } },
      { header: { name: `${prefix}home`, type: 'symlink', linkname: 'var/home' } },
    ];
    const entries = await rewriteEntries(there);
    const names = entries.map(({ name }) => name.replace(/^(?:\.?\/)/, '').replace(/\/$/, ''));
    expect(new Set(names).size).toBe(names.length);
    expect(new Set(names)).toEqual(new Set(mountPoints.map((name) => name.replace(/\/$/, ''))));
    expect(entries.find(({ name }) => name === 'var/tmp/')).toMatchObject({
      mode: 0o1777,
      mtime: 0,
      type: 'directory',
    });
  });

  it('gives a whole root file system even for an empty image', async () => {
    expect((await listTar(await rewrite(endOfTar))).map(({ name }) => name)).toEqual(mountPoints);
  });

  it('appends what is to be added', async () => {
    const added: TarEntry = { path: 'added', mode: 0o600, content: { type: 'file', bytes: Buffer.from('text') } };
    const entries = await rewriteEntries([], [added]);
    expect(entries.at(-1)).toMatchObject({ name: 'added', mode: 0o600, text: 'text' });
  });

  it('opens modes to everybody, but not those of links', async () => {
    const entries = await rewriteEntries([
      { header: { name: 'root/', type: 'directory', mode: 0o700 } },
      { header: { name: 'root/key', mode: 0o600 }, text: 'k' },
      { header: { name: 'bin/tool', mode: 0o4711 }, text: 't' },
      { header: { name: 'link', type: 'symlink', linkname: 'bin/tool', mode: 0o700 } },
    ]);
    expect(entries.slice(0, 4).map(({ name, mode }) => [name, mode])).toEqual([
      ['root/', 0o755],
      ['root/key', 0o644],
      ['bin/tool', 0o4755],
      ['link', 0o700],
    ]);
  });

  it('takes the time of the export out of the directories that the engine touches', async () => {
    const mtime = new Date(1_700_000_000_000);
    const touched = ['./', 'etc/', 'dev/', 'proc/', 'sys/', 'run/'];
    const entries = await rewriteEntries([
      ...touched.map((name): { header: EntryHeader } => ({ header: { name, type: 'directory', mtime } })),
      { header: { name: 'etc/mtab', type: 'symlink', linkname: '/proc/mounts', mtime } },
      { header: { name: 'usr/', type: 'directory', mtime } },
      { header: { name: 'etc/fstab', mtime }, text: 'x' },
    ]);
    expect(entries.slice(0, 9).map(({ mtime: seconds }) => seconds)).toEqual([0, 0, 0, 0, 0, 0, 0, 1.7e9, 1.7e9]);
  });

  it.each([
    ['pax', 'x', paxRecord('path', './dev/console'), './etc/passwd', paxRecord('path', './etc/passwd')],
    ['GNU', 'L', './dev/console\0', './etc/passwd', './etc/passwd\0'],
  ])('goes by the name in a %s header, not by what the entry itself says', async (_, type, stub, name, kept) => {
    const file = (body: string) => raw({ name: 'etc/hosts.stand-in', body: Buffer.from(body) });
    const extended = (body: string) => raw({ name: 'extended', type, body: Buffer.from(body) });
    const tar = Buffer.concat([extended(stub), file('stub'), extended(kept), file('root'), endOfTar]);
    const entries = await listTar(await rewrite(tar));
    expect(entries.map((entry) => entry.text)).not.toContain('stub');
    expect(entries.filter((entry) => entry.name.includes('etc/passwd'))).toMatchObject([{ name, text: 'root' }]);
  });

  it('goes by the size in a pax header', async () => {
    const body = Buffer.alloc(700, 'b');
    const header = raw({ name: 'large' });
    const sized = raw({ name: 'extended', type: 'x', body: Buffer.from(paxRecord('size', '700')) });
    const entry = Buffer.concat([sized, header, padded(body), raw({ name: 'next' })]);
    const rewritten = await rewrite(Buffer.concat([entry, endOfTar]), [], [300]);
    expect(rewritten.subarray(0, entry.length)).toEqual(entry);
  });

  it('expects no content behind a link, whatever size its header tells', async () => {
    const link = raw({ name: 'link', type: '1', linkname: 'large', body: Buffer.alloc(700) }).subarray(0, 512);
    const tar = Buffer.concat([link, raw({ name: '.dockerenv', body: Buffer.from('stub') }), endOfTar]);
    expect(await rewrite(tar)).toEqual(Buffer.concat([link, await rewrite(endOfTar)]));
  });

  it('ends at the end of the tar, whatever follows', async () => {
    const tar = await makeTar([{ header: { name: 'a' }, text: 'b' }]);
    const trailing = Buffer.concat([tar, Buffer.alloc(9000, 'x')]);
    expect(await rewrite(trailing, [], [700])).toEqual(await rewrite(tar));
  });

  it.each([
    [[0], 'nothing at all'],
    [[100, 512, 700, 1024, 1536], 'a part'],
  ])('fails when only %j bytes come: %s', async (lengths) => {
    const tar = await makeTar([{ header: { name: 'a' }, text: 'b'.repeat(600) }]);
    for (const length of lengths) {
      const error = await failureOf(() => rewrite(tar.subarray(0, length), [], [300]));
      expect(error.code).toBe('CONVERSION_FAILED');
      expect(error.message).toContain('ended before its last entry');
    }
  });

  it('fails for what is not a tar', async () => {
    const error = await failureOf(() => rewrite(Buffer.alloc(2048, 'not a tar ')));
    expect(error.code).toBe('CONVERSION_FAILED');
    expect(error.message).toContain('not a tar header');
  });

  it('refuses an extended header that could fill the memory', async () => {
    const header = raw({ type: 'x', body: Buffer.alloc((16 << 20) + 1024, '1') });
    const error = await failureOf(() => rewrite(header, [], [1 << 20]));
    expect(error).toMatchObject({ code: 'CONVERSION_FAILED' });
    expect(error.message).toContain('larger than 16 MiB');
  });
});
