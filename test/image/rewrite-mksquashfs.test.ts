import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';
import { rewriteRootfs, type RewriteOptions } from '../../src/image/rewrite-rootfs.js';
import { collect, inPieces } from '../support/chunks.js';
import { endOfTar, paxRecord, renderRawEntry, type RawEntry } from '../support/raw-tar.js';
import { findProgram } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const raw = (changes: Partial<RawEntry>) =>
  renderRawEntry({
    ...{ name: 'a', type: '0', mode: 0o644, mtime: 1, linkname: '', body: Buffer.alloc(0), longNames: 'pax' },
    ...changes,
  });

const extended = (...records: [string, string][]) =>
  raw({ name: 'x', type: 'x', body: Buffer.from(records.map((record) => paxRecord(...record)).join(''), 'latin1') });

const gnu = (type: 'L' | 'K', text: string) => raw({ name: 'x', type, body: Buffer.from(`${text}\0`, 'latin1') });

/** Each line of a listing, one character a byte, by path: mode, owner, size, time and, for links, the target. */
const listSquashfs = (file: string) => {
  const options = { encoding: 'latin1', env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' }, maxBuffer: 1 << 26 } as const;
  const listing = execFileSync('unsquashfs', ['-d', '', '-lln', file], options);
  const line = /^(\S{10}) (\S+) +(\d+(?:, *\d+)?) (\S+ \S+) \/?(.*?)(?: -> (.*))?$/;
  return new Map(
    listing.split('\n').flatMap((text): [string, Record<string, string>][] => {
      const [, mode = '', owner = '', size = '', time = '', path, target = ''] = line.exec(text) ?? [];
      return path === undefined ? [] : [[path, { mode, owner, size, time, target }]];
    }),
  );
};

const squash = async (tar: Buffer, options: Partial<RewriteOptions> = {}) => {
  const directory = await makeTemporaryDirectory();
  const file = join(directory, 'root.sqfs');
  const all: RewriteOptions = { permissions: 'open', directories: [], normalizedPaths: [], ...options };
  const rewritten = await collect(rewriteRootfs(inPieces(tar, [5000]), [], all));
  const made = spawnSync('mksquashfs', ['-', file, '-tar', '-noappend', '-no-progress', '-quiet', '-all-root'], {
    input: rewritten,
    encoding: 'utf8',
  });
  return { directory, file, status: made.status, stderr: made.stderr };
};

const isMissing = (context: TestContext) => {
  const missing = ['mksquashfs', 'unsquashfs', 'tar'].filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) context.skip(`not installed: ${missing.join(', ')}`);
};

describe('mksquashfs makes of what rewriteRootfs gives', () => {
  it('symlinks that lead where they did', async (context) => {
    isMissing(context);
    const far = 'f'.repeat(120);
    const targets = ['/short', '../short', `/${far}`, `../../${far}`, './x', '/caf\xc3\xa9', '\xff', far, '/'];
    const entries = targets.flatMap((linkname, index) => [
      extended(['linkpath', linkname]),
      raw({ name: `pax-${index}`, type: '2' }),
      gnu('K', linkname),
      raw({ name: `gnu-${index}`, type: '2' }),
      extended(['path', `${far}-${index}`], ['linkpath', linkname], ['SCHILY.xattr.user.a', 'b']),
      raw({ name: `both-${index}`, type: '2' }),
    ]);
    const { file, status, stderr } = await squash(Buffer.concat([...entries, endOfTar]));
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const listed = listSquashfs(file);
    for (const [index, target] of targets.entries()) {
      for (const name of [`pax-${index}`, `gnu-${index}`, `${far}-${index}`])
        expect(listed.get(name)).toMatchObject({ target });
    }
  });

  it('hard links to what they led to', async (context) => {
    isMissing(context);
    const deep = `d/${'e'.repeat(150)}`;
    const stub = raw({ name: 'etc/hosts', body: Buffer.from('stub') });
    const file = [extended(['path', `./${deep}`]), raw({ body: Buffer.from('content'), mode: 0o600 })];
    const links = [
      [extended(['linkpath', `./${deep}`]), raw({ name: 'pax-dotted', type: '1' })],
      [extended(['linkpath', deep]), raw({ name: 'pax', type: '1' })],
      [gnu('K', `./${deep}`), raw({ name: 'gnu-dotted', type: '1' })],
      [gnu('K', `/${deep}`), gnu('L', './gnu-slash'), raw({ name: 'cut', type: '1' })],
      [raw({ name: 'to-stub', type: '1', linkname: 'etc/hosts' })],
    ];
    const made = await squash(Buffer.concat([stub, ...file, ...links.flat(), endOfTar]));
    expect(made).toMatchObject({ status: 0, stderr: '' });
    const target = join(made.directory, 'root');
    execFileSync('unsquashfs', ['-no-xattrs', '-d', target, made.file]);
    for (const name of [deep, 'pax-dotted', 'pax', 'gnu-dotted', 'gnu-slash']) {
      expect(await readFile(join(target, name), 'utf8')).toBe('content');
      expect(await stat(join(target, name))).toMatchObject({ nlink: 5 });
    }
    expect(await readFile(join(target, 'to-stub'), 'utf8')).toBe('stub');
  });

  it('times it can store', async (context) => {
    isMissing(context);
    const times = {
      ...{ '7200': '7200', '7200.9': '7200', '-7200': '0', '-7200.5': '0' },
      ...{ '4294967295': '4294967295', '9999999999': '4294967295' },
    };
    const pax = Object.keys(times).flatMap((time) => [extended(['mtime', time]), raw({ name: `pax${time}` })]);
    const binary = raw({ name: 'binary' });
    binary.fill(0xff, 136, 148);
    binary.fill(0x20, 148, 156);
    const sum = binary.reduce((total, byte) => total + byte, 0);
    binary.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    const made = await squash(Buffer.concat([...pax, binary, endOfTar]));
    expect(made).toMatchObject({ status: 0, stderr: '' });
    const listed = listSquashfs(made.file);
    const print = (seconds: string) => new Date(Number(seconds) * 1000).toISOString().slice(0, 16).replace('T', ' ');
    for (const [time, stored] of Object.entries(times)) expect(listed.get(`pax${time}`)?.time).toBe(print(stored));
    expect(listed.get('binary')?.time).toBe(print('0'));
  });

  it('devices, fifos, odd names, permissions and every kind of file', async (context) => {
    isMissing(context);
    const entries = [
      raw({ name: 'bin/', type: '5', mode: 0o2750 }),
      raw({ name: 'bin/su', mode: 0o4711, body: Buffer.from('su') }),
      raw({ name: 'sticky/', type: '5', mode: 0o1700 }),
      raw({ name: 'fifo', type: '6', mode: 0o640 }),
      raw({ name: 'char', type: '3' }),
      raw({ name: 'block', type: '4' }),
      raw({ name: 'caf\xe9 \xff', body: Buffer.from('latin1') }),
      raw({ name: 'contiguous', type: '7', body: Buffer.from('seven') }),
      raw({ name: `long-\xfe${'n'.repeat(150)}`, longNames: 'gnu', body: Buffer.from('gnu') }),
    ];
    const { file, status, stderr } = await squash(Buffer.concat([...entries, endOfTar]));
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const listed = listSquashfs(file);
    const modes = Object.fromEntries([...listed].map(([path, { mode }]) => [path, mode]));
    expect(modes).toMatchObject({
      bin: 'drwxr-sr-x',
      'bin/su': '-rwsr-xr-x',
      sticky: 'drwxr-xr-t',
      fifo: 'prw-r--r--',
      char: 'crw-r--r--',
      block: 'brw-r--r--',
      'caf\xe9 \xff': '-rw-r--r--',
      contiguous: '-rw-r--r--',
      [`long-\xfe${'n'.repeat(150)}`]: '-rw-r--r--',
    });
    expect(listed.get('contiguous')?.size).toBe('5');
    expect([...listed.values()].every(({ owner }) => owner === '0/0')).toBe(true);
  });

  it('names that stay whole behind a GNU header with times', async (context) => {
    isMissing(context);
    const entry = raw({ name: 'name', body: Buffer.from('x') });
    entry.write('ustar  \0', 257, 'latin1');
    entry.write('14371573407\0', 345, 'latin1');
    entry.fill(0x20, 148, 156);
    const sum = entry.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    entry.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    const made = await squash(Buffer.concat([entry, endOfTar]));
    expect(made).toMatchObject({ status: 0, stderr: '' });
    expect([...listSquashfs(made.file).keys()]).toContain('name');
  });

  it('what pax headers for the whole tar say, where an entry says nothing else', async (context) => {
    isMissing(context);
    const global = extended(['mtime', '77'], ['comment', 'made by a test']);
    global.write('g', 156, 'latin1');
    global.fill(0x20, 148, 156);
    const sum = global.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    global.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    const own = [extended(['mtime', '3600'], ['path', 'own']), raw({ name: 'cut' })];
    const made = await squash(Buffer.concat([global, raw({ name: 'all' }), ...own, endOfTar]));
    expect(made).toMatchObject({ status: 0, stderr: '' });
    const listed = listSquashfs(made.file);
    expect(listed.get('all')?.time).toBe('1970-01-01 00:01');
    expect(listed.get('own')?.time).toBe('1970-01-01 01:00');
  });

  it('file capabilities and other extended attributes', async (context) => {
    isMissing(context);
    if (process.getuid?.() !== 0 || findProgram('getcap') === undefined)
      return context.skip('needs root, to write file capabilities, and getcap, to read them');
    const capability = '\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0';
    const xattr = extended(['SCHILY.xattr.security.capability', capability]);
    // With a time that has to be told in another form, so that the header is made anew.
    const anew = extended(['mtime', '5'], ['SCHILY.xattr.security.capability', capability], ['path', 'anew']);
    const made = await squash(Buffer.concat([xattr, raw({ name: 'ping' }), anew, raw({ name: 'cut' }), endOfTar]));
    expect(made).toMatchObject({ status: 0, stderr: '' });
    const target = join(made.directory, 'root');
    execFileSync('unsquashfs', ['-d', target, made.file]);
    const found = execFileSync('getcap', [join(target, 'ping'), join(target, 'anew')], { encoding: 'utf8' });
    expect(found.trim().split('\n')).toEqual([`${target}/ping cap_net_raw=ep`, `${target}/anew cap_net_raw=ep`]);
  });

  it.for(['0.0', '0.1', '1.0'])('sparse files as tar stores them in pax format %s', async (version, context) => {
    isMissing(context);
    const source = await makeTemporaryDirectory();
    const write = async (name: string, size: number, parts: Record<number, string>) => {
      const file = await open(join(source, name), 'w', 0o600);
      await file.truncate(size);
      for (const [at, text] of Object.entries(parts)) await file.write(text, Number(at));
      await file.close();
    };
    await write('hole', 1 << 20, {});
    await write('end', 1_000_003, { 1_000_002: 'x' });
    await write('middle', 3_000_000, { 0: 'begin', 1_500_000: 'middle', 2_999_997: 'end' });
    await write(
      'many',
      20_000_001,
      Object.fromEntries(Array.from({ length: 60 }, (_, at) => [at * 300_000, `p${at}`])),
    );
    await write(`caf\u00e9-${'n'.repeat(120)}`, 500_000, { 400_000: 'x' });
    await writeFile(join(source, 'dense'), 'd'.repeat(5000));
    await chmod(join(source, 'dense'), 0o604);
    const args = ['-C', source, '--format=pax', '-S', `--sparse-version=${version}`, '-cf', '-', '.'];
    const made = await squash(execFileSync('tar', args, { maxBuffer: 64 << 20 }), { permissions: 'keep' });
    expect(made.stderr.replace(/^Empty tar filename .*\n/, '')).toBe('');
    const target = join(made.directory, 'root');
    execFileSync('unsquashfs', ['-d', target, made.file]);
    for (const name of ['hole', 'end', 'middle', 'many', `caf\u00e9-${'n'.repeat(120)}`, 'dense']) {
      expect((await readFile(join(target, name))).equals(await readFile(join(source, name)))).toBe(true);
      expect((await stat(join(target, name))).mode).toBe((await stat(join(source, name))).mode);
    }
  });

  it('directories and mount points beside symlinks', async (context) => {
    isMissing(context);
    const link = (name: string, linkname: string) => raw({ name, type: '2', linkname });
    const directory = (name: string) => raw({ name: `${name}/`, type: '5', mode: 0o755 });
    const entries = [
      ...[
        link('tmp', 'var/tmp'),
        link('home', 'var/home'),
        link('bin', 'usr/bin'),
        directory('usr'),
        directory('usr/bin'),
      ],
      ...[directory('srv'), directory('srv/var'), link('var', '/srv/var'), link('loop', 'loop'), raw({ name: 'file' })],
      raw({ name: 'implied/file' }),
    ];
    const directories = [
      '/var/data/x',
      '/loop/x',
      '/home/x',
      '/bin/y',
      '/file/x',
      '/implied/z',
      '/tmp',
      `/${'l'.repeat(160)}`,
    ];
    const made = await squash(Buffer.concat([...entries, endOfTar]), { directories });
    expect(made).toMatchObject({ status: 0, stderr: '' });
    const listed = listSquashfs(made.file);
    const kinds = Object.fromEntries(
      [...listed].map(([path, { mode, target }]) => [path, `${mode?.[0] ?? ''}${target ?? ''}`]),
    );
    expect(kinds).toMatchObject({
      ...{ tmp: 'lvar/tmp', home: 'lvar/home', bin: 'lusr/bin', var: 'l/srv/var', loop: 'lloop', file: '-' },
      ...{ 'srv/var/data/x': 'd', 'srv/var/tmp': 'd', 'usr/bin/y': 'd', 'implied/z': 'd', ['l'.repeat(160)]: 'd' },
      ...{ proc: 'd', root: 'd', 'etc/passwd': '-' },
    });
    expect(listed.get('srv/var/tmp')?.mode).toBe('drwxrwxrwt');
    expect([...listed.keys()].filter((path) => /^(?:loop|home|file)\//.test(path))).toEqual([]);
  });
});
