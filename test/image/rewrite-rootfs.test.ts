import { extract, pack, type Header } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { openToAll, rewriteRootfs, type RewriteOptions, type RootfsEntry } from '../../src/image/rewrite-rootfs.js';
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

const open: RewriteOptions = { permissions: 'open', directories: [], normalizedPaths: [] };

const rewrite = async (
  bytes: Buffer,
  additions: TarEntry[] = [],
  sizes = [bytes.length],
  options: Partial<RewriteOptions> = {},
) => await collect(rewriteRootfs(inPieces(bytes, sizes), additions, { ...open, ...options }));

const rewriteEntries = async (
  entries: { header: EntryHeader; text?: string }[],
  additions: TarEntry[] = [],
  options: Partial<RewriteOptions> = {},
) => await listTar(await rewrite(await makeTar(entries), additions, undefined, options));

const raw = (changes: Partial<RawEntry>) =>
  renderRawEntry({
    ...{ name: 'a', type: '0', mode: 0o644, mtime: 1, linkname: '', body: Buffer.alloc(0), longNames: 'pax' },
    ...changes,
  });

const mountPoints = [
  ...['dev/', 'proc/', 'sys/', 'home/', 'root/', 'etc/', 'var/', 'tmp/', 'var/tmp/'],
  ...['etc/hosts', 'etc/hostname', 'etc/resolv.conf', 'etc/passwd', 'etc/group', 'etc/mtab'],
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

  it('leaves modes alone where they are to be kept', async () => {
    const entries = await rewriteEntries(
      [
        { header: { name: 'root/', type: 'directory', mode: 0o700 } },
        { header: { name: 'root/key', mode: 0o600 }, text: 'k' },
        { header: { name: 'tool', mode: 0o4711 }, text: 't' },
      ],
      [],
      { permissions: 'keep' },
    );
    expect(entries.slice(0, 3).map(({ mode }) => mode)).toEqual([0o700, 0o600, 0o4711]);
  });

  it('takes the time out of what the engine is said to touch, also where a pax header tells it', async () => {
    const mtime = new Date(1_700_000_000_000);
    const entries = await rewriteEntries(
      [
        { header: { name: 'data/', type: 'directory', mtime } },
        { header: { name: 'data/caf\u00e9/', type: 'directory', mtime, pax: { mtime: '1700000000.5' } } },
        { header: { name: 'data/file', mtime }, text: 'x' },
      ],
      [],
      { normalizedPaths: ['/data', '/data/caf\u00e9/'] },
    );
    expect(entries.slice(0, 3).map(({ name, mtime: seconds }) => [name.replace(/\/$/, ''), seconds])).toEqual([
      ['data', 0],
      ['data/caf\u00e9', 0],
      ['data/file', 1.7e9],
    ]);
  });

  describe('makes directories', () => {
    const symlink = (name: string, linkname: string) => ({ header: { name, type: 'symlink' as const, linkname } });
    const directory = (name: string) => ({ header: { name, type: 'directory' as const } });
    const complete = mountPoints.map((name) => (name.endsWith('/') ? directory(name) : { header: { name } }));
    const long = `/${'d'.repeat(90)}/${'e'.repeat(90)}`;
    it.each([
      ['with their parents', [], ['/a/b/c', '/a/d'], ['a/', 'a/b/', 'a/b/c/', 'a/d/']],
      ['but not the root', [], ['/', ''], []],
      ['once', [], ['/a', '/a/', '/a/b/../'], ['a/']],
      ['of long names', [], [long], [long.slice(1, 92), `${long.slice(1)}/`]],
      ['of names in Unicode', [], ['/caf\u00e9'], ['caf\u00e9/']],
      ['but none that is there', [directory('a'), directory('a/b/')], ['/a/b'], []],
      [
        'where a symlink leads to',
        [directory('data'), symlink('link', '/data')],
        ['/link/x/y'],
        ['data/x/', 'data/x/y/'],
      ],
      ['where relative symlinks lead to', [directory('a/b'), symlink('a/c', '../a/b')], ['/a/c/x'], ['a/', 'a/b/x/']],
      ['not in place of a symlink', [directory('data'), symlink('link', 'data')], ['/link'], []],
      ['not behind a symlink that leads nowhere', [symlink('link', 'nowhere')], ['/link', '/link/x'], []],
      ['not behind symlinks that go round', [symlink('a', 'b'), symlink('b', 'a')], ['/a/x'], []],
      ['not in place of a file', [{ header: { name: 'file' } }], ['/file', '/file/x'], []],
      ['not where the engine puts its own', [], ['/dev/shm', '/sys/fs/cgroup', '/proc/x'], []],
    ])('%s', async (_, image, directories, expected) => {
      const all = [...complete, ...image];
      const entries = await rewriteEntries(all, [], { directories });
      // As many stubs are left out as are made anew.
      const made = entries.slice(all.length);
      expect(made.map(({ name }) => name)).toEqual(expected);
      expect(made.every(({ mode, mtime, type }) => mode === 0o755 && mtime === 0 && type === 'directory')).toBe(true);
    });

    it.each([
      ['/var that leads nowhere', [symlink('var', 'data/var')], [], ['var/', 'var/tmp/', 'data/var/tmp/']],
      ['/var', [directory('data/var'), symlink('var', 'data/var')], ['data/var/tmp/'], ['var/', 'var/tmp/']],
      ['/tmp', [symlink('tmp', 'var/tmp')], ['var/', 'var/tmp/'], ['tmp/']],
      ['/home', [symlink('home', 'var/home')], [], ['home/', 'var/home/']],
      ['/etc/resolv.conf', [symlink('etc/resolv.conf', '../run/resolv.conf')], ['etc/resolv.conf'], []],
      ['/etc/passwd', [symlink('etc/passwd', '/usr/lib/passwd')], ['etc/group'], ['usr/lib/passwd']],
      ['/etc', [directory('usr/etc'), symlink('etc', 'usr/etc')], ['usr/etc/passwd'], ['etc/', 'etc/passwd']],
    ])('and keeps a symlink that is a mount point: %s', async (_, image, present, absent) => {
      const names = (await rewriteEntries(image)).map(({ name }) => name);
      for (const name of present) expect(names).toContain(name);
      for (const name of absent) expect(names).not.toContain(name);
      expect(new Set(names).size).toBe(names.length);
    });
  });

  describe('of hard links to what it leaves out', () => {
    const link = (name: string, linkname: string) => raw({ name, type: '1', linkname, mode: 0o600, mtime: 5 });

    it('makes files of their own', async () => {
      const stub = raw({ name: 'etc/hosts', body: Buffer.from('text'.repeat(300)) });
      const long = `app/${'n'.repeat(200)}`;
      const tar = Buffer.concat([stub, link('app/hosts', './etc/hosts'), link(long, '/etc/hosts'), raw({}), endOfTar]);
      for (const sizes of [[tar.length], [700], [1]]) {
        const entries = await listTar(await rewrite(tar, [], sizes));
        const common = { type: 'file', mode: 0o644, mtime: 5, text: 'text'.repeat(300) };
        expect(entries.slice(0, 3)).toMatchObject([
          { name: 'app/hosts', ...common },
          { name: long, ...common },
          { name: 'a' },
        ]);
      }
    });

    it('makes empty files of empty ones, and leaves out those to devices', async () => {
      const image = [raw({ name: 'etc/hosts' }), raw({ name: 'dev/null', type: '3' })];
      const tar = Buffer.concat([...image, link('empty', 'etc/hosts'), link('null', 'dev/null'), endOfTar]);
      const entries = await listTar(await rewrite(tar));
      expect(entries.map(({ name }) => name)).toEqual(['empty', ...mountPoints]);
    });
  });

  describe('shows each entry that is kept', () => {
    const observed = async (tar: Buffer, options: Partial<RewriteOptions> = {}) => {
      const seen: RootfsEntry[] = [];
      const observe = (entry: RootfsEntry) => void seen.push(entry);
      await rewrite(tar, [], [1000], { observe, ...options });
      return seen;
    };
    const plain = {
      type: '0',
      mode: 0o600,
      uid: 1000,
      gid: 1000,
      size: 0,
      mtime: 1,
      linkTarget: '',
      hasCapability: false,
    };

    it('with what its headers say, as the engine told it', async () => {
      const file = raw({ name: './app/caf\xe9', mode: 0o600, body: Buffer.from('12345') });
      const link = raw({ name: 'link', type: '2', mode: 0o777, linkname: '/app' });
      const hard = raw({ name: 'hard', type: '1', mode: 0o600, linkname: './app/caf\xe9' });
      const directory = raw({ name: 'etc/', type: '5', mode: 0o2750 });
      const tar = Buffer.concat([raw({ name: '.dockerenv' }), file, link, hard, directory, endOfTar]);
      expect(await observed(tar)).toEqual([
        { ...plain, path: 'app/caf\xe9', size: 5 },
        { ...plain, path: 'link', type: '2', mode: 0o777, linkTarget: '/app' },
        { ...plain, path: 'hard', type: '1', linkTarget: 'app/caf\xe9' },
        { ...plain, path: 'etc', type: '5', mode: 0o2750 },
      ]);
    });

    it('with what pax headers say', async () => {
      const records = [
        paxRecord('path', 'long'),
        paxRecord('uid', '3000000'),
        paxRecord('gid', '4000000'),
        paxRecord('mtime', '77.25'),
        paxRecord('SCHILY.xattr.security.capability', '\x01\0\0\x02\xff='),
      ];
      const extended = raw({ name: 'x', type: 'x', body: Buffer.from(records.join(''), 'latin1') });
      const global = raw({
        name: 'g',
        type: 'g',
        body: Buffer.from(paxRecord('uid', '5') + paxRecord('comment', 'c')),
      });
      const tar = Buffer.concat([global, extended, raw({ mode: 0o600 }), raw({ name: 'next', mode: 0o600 }), endOfTar]);
      expect(await observed(tar)).toEqual([
        { ...plain, path: 'long', uid: 3_000_000, gid: 4_000_000, mtime: 77, hasCapability: true },
        { ...plain, path: 'next', uid: 5 },
      ]);
    });

    it('and the beginning of a file to whom asks for it', async () => {
      const bodies = [0, 1, 4095, 4096, 4097, 10_000].map((length) => Buffer.alloc(length, `${length}|`));
      const files = bodies.map((body, index) => raw({ name: `file-${index}`, body }));
      const tar = Buffer.concat([...files, raw({ name: 'file-d', type: '5' }), endOfTar]);
      for (const sizes of [[tar.length], [1], [513], [4096, 100]]) {
        const heads: string[] = [];
        const observe = ({ path }: RootfsEntry) =>
          path === 'file-4' ? undefined : (head: Buffer) => void heads.push(`${path} ${head.toString()}`);
        const rewritten = await rewrite(tar, [], sizes, { observe });
        const expected = bodies.map((body, index) => `file-${index} ${body.toString().slice(0, 4096)}`);
        expect(heads).toEqual([...expected.filter((_, index) => index !== 4), 'file-d ']);
        expect(rewritten.equals(await rewrite(tar))).toBe(true);
      }
    });
  });

  it.each([
    ['no length', 'path=x\n'],
    ['no number for a size', paxRecord('size', 'many')],
    ['a negative size', paxRecord('size', '-512')],
  ])('refuses an extended header with %s', async (_, records) => {
    const extended = raw({ name: 'x', type: 'x', body: Buffer.from(records) });
    const error = await failureOf(() => rewrite(Buffer.concat([extended, raw({}), endOfTar])));
    expect(error.code).toBe('CONVERSION_FAILED');
    expect(error.message).toContain('an extended header is malformed');
  });

  it.each([
    ['is no number', '1.0', 'one\n0\n1\n', 10],
    ['has no end', '1.0', '9'.repeat(600), 10],
    ['is cut short', '1.0', '2\n0\n1\n', 10],
    ['goes beyond the end', '1.0', '1\n0\n11\n', 10],
    ['goes back', '1.0', '2\n5\n1\n2\n1\n', 10],
    ['tells more than there is', '1.0', '1\n0\n9\n', 10],
    ['goes beyond the end', '0.1', '0,11', 10],
    ['tells half a part', '0.1', '0,1,x,1', 10],
    ['is for no size', '0.1', '0,1', Number.NaN],
  ])('refuses a sparse file whose map %s (format %s)', async (_, version, map, size) => {
    const isInBody = version === '1.0';
    const records = isInBody
      ? [
          paxRecord('GNU.sparse.major', '1'),
          paxRecord('GNU.sparse.minor', '0'),
          paxRecord('GNU.sparse.realsize', `${size}`),
        ]
      : [
          paxRecord('GNU.sparse.size', `${size}`),
          paxRecord('GNU.sparse.numblocks', '1'),
          paxRecord('GNU.sparse.map', map),
        ];
    const extended = raw({ name: 'x', type: 'x', body: Buffer.from(records.join('')) });
    const body = isInBody ? padded(Buffer.from(map)) : Buffer.from('d');
    const tar = Buffer.concat([extended, raw({ name: 'sparse', body }), endOfTar]);
    const error = await failureOf(() => rewrite(tar, [], [300]));
    expect(error.code).toBe('CONVERSION_FAILED');
    expect(error.message).toContain('the map of a sparse file is broken');
  });

  it('refuses an extended header that could fill the memory', async () => {
    const header = raw({ type: 'x', body: Buffer.alloc((16 << 20) + 1024, '1') });
    const error = await failureOf(() => rewrite(header, [], [1 << 20]));
    expect(error).toMatchObject({ code: 'CONVERSION_FAILED' });
    expect(error.message).toContain('larger than 16 MiB');
  });
});
