import { extract } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { isEndBlock, paddedBytes, parseTarHeader, patchTarHeader, renderTarEntry } from '../../src/image/tar-header.js';
import { renderRawEntry, type RawEntry } from '../support/raw-tar.js';
import { runShell } from '../support/shell.js';

const raw = (changes: Partial<RawEntry>): Buffer =>
  renderRawEntry({
    name: 'a',
    type: '0',
    mode: 0o644,
    mtime: 1,
    linkname: '',
    body: Buffer.alloc(0),
    longNames: 'pax',
    ...changes,
  });

describe('paddedBytes', () => {
  it.each([
    [0, 0],
    [1, 512],
    [512, 512],
    [513, 1024],
  ])('%d → %d', (size, expected) => {
    expect(paddedBytes(size)).toBe(expected);
  });
});

describe('parseTarHeader', () => {
  it('reads name, size, mode and type', () => {
    const header = raw({ name: 'bin/\xff\xe9', mode: 0o4755, body: Buffer.alloc(700) });
    expect(parseTarHeader(header)).toEqual({ path: 'bin/\xff\xe9', size: 700, mode: 0o4755, type: '0' });
  });

  it('reads a name of exactly 100 bytes', () => {
    expect(parseTarHeader(raw({ name: 'n'.repeat(100) })).path).toBe('n'.repeat(100));
  });

  it('takes the old type NUL for a file', () => {
    expect(parseTarHeader(raw({ type: '\0' })).type).toBe('0');
  });

  it('puts the prefix before the name in POSIX headers only', () => {
    const header = raw({ name: 'name' });
    header.write('some/prefix', 345, 'latin1');
    expect(parseTarHeader(header).path).toBe('some/prefix/name');
    header.write('ustar  \0', 257, 'latin1');
    expect(parseTarHeader(header).path).toBe('name');
  });

  it('reads base-256 sizes', () => {
    const header = raw({});
    const size = 9 * 2 ** 33 + 5;
    header.fill(0, 124, 136);
    header[124] = 0x80;
    header.writeUIntBE(size, 130, 6);
    expect(parseTarHeader(header).size).toBe(size);
  });

  it('gives NaN for a number that is none', () => {
    const header = raw({});
    header.write('what?', 124, 'latin1');
    expect(parseTarHeader(header).size).toBeNaN();
  });
});

describe('patchTarHeader', () => {
  it('changes mode and time and nothing else, with a checksum that other programs accept', () => {
    const header = raw({ name: 'file', mode: 0o700, mtime: 99 });
    const expected = raw({ name: 'file', mode: 0o755, mtime: 7 });
    patchTarHeader(header, { mode: 0o755, mtime: 7 });
    expect(header).toEqual(expected);
    patchTarHeader(header, { mode: 0o644 });
    expect(header).toEqual(raw({ name: 'file', mode: 0o644, mtime: 7 }));
    const listed = runShell('/bin/sh', 'TZ=UTC tar -tvf - --full-time', {
      input: Buffer.concat([header, Buffer.alloc(1024)]),
    });
    expect(listed.stdout).toMatch(/^-rw-r--r-- 1000\/1000 +0 1970-01-01 00:00:07 file\n$/);
  });
});

describe('isEndBlock', () => {
  it('is a block of zeros and nothing else', () => {
    const block = Buffer.alloc(512);
    expect(isEndBlock(block)).toBe(true);
    for (const at of [0, 255, 511]) {
      block[at] = 1;
      expect(isEndBlock(block)).toBe(false);
      block[at] = 0;
    }
  });
});

describe('renderTarEntry', () => {
  it('makes entries that other readers understand', async () => {
    const reader = extract();
    reader.write(renderTarEntry({ path: 'etc', mode: 0o1777, content: { type: 'directory' } }));
    reader.write(
      renderTarEntry({ path: 'etc/hosts', mode: 0o644, content: { type: 'file', bytes: Buffer.from('x') } }),
    );
    reader.end(Buffer.alloc(1024));
    const seen: unknown[] = [];
    for await (const entry of reader) {
      const { name, mode, uid, gid, size, type, mtime } = entry.header;
      seen.push([name, mode, uid, gid, size, type, mtime.getTime()]);
      entry.resume();
    }
    expect(seen).toEqual([
      ['etc/', 0o1777, 0, 0, 0, 'directory', 0],
      ['etc/hosts', 0o644, 0, 0, 1, 'file', 0],
    ]);
  });

  it('takes names of any length and any bytes', () => {
    const names = ['n'.repeat(100), 'n'.repeat(101), `${'d'.repeat(90)}/${'\xff'.repeat(200)}`];
    const content = { type: 'file', bytes: Buffer.from('x') } as const;
    const entries = names.map((path) => renderTarEntry({ path, mode: 0o644, content }));
    const listed = runShell('/bin/sh', 'tar --quoting-style=literal -tf - | od -An -v -tx1', {
      input: Buffer.concat([...entries, Buffer.alloc(1024)]),
    });
    const bytes = Buffer.from(listed.stdout.replaceAll(/\s/g, ''), 'hex').toString('latin1');
    expect(bytes).toBe(names.map((name) => `${name}\n`).join(''));
  });
});
