import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TarReader } from '../../src/transfer/tar-reader.js';
import { endOfTar, renderRawEntry, type RawEntry } from '../support/raw-tar.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

/** What a reader makes of the bytes when they come in pieces of the given sizes. */
function read(bytes: Buffer, sizes: number[]) {
  const entries: { name: string; type: string; body: Buffer }[] = [];
  let pieces: Buffer[] = [];
  let open = { name: '', type: '' };
  const reader = new TarReader({
    begin: ({ name, type }) => {
      open = { name, type };
      pieces = [];
    },
    data: (piece) => pieces.push(piece),
    end: () => entries.push({ ...open, body: Buffer.concat(pieces) }),
  });
  for (let from = 0, index = 0; from < bytes.length; index += 1) {
    const size = sizes[index % sizes.length] ?? bytes.length;
    reader.push(bytes.subarray(from, from + size));
    from += size;
  }
  return { entries, isComplete: reader.isComplete };
}

const entry = (changes: Partial<RawEntry>): Buffer =>
  renderRawEntry({
    name: 'a',
    type: '0',
    mode: 0o644,
    mtime: 0,
    linkname: '',
    body: Buffer.alloc(0),
    longNames: 'gnu',
    ...changes,
  });

describe('TarReader', () => {
  it('reads what GNU tar writes, names of any length and all bytes of them included', async () => {
    const directory = await makeTemporaryDirectory();
    const names = [
      'short',
      'with\nnewline',
      'back\\slash',
      'ü'.repeat(60),
      `${'d'.repeat(200)}/${'e'.repeat(200)}`,
      'empty',
    ];
    for (const name of names) {
      mkdirSync(join(directory, name, '..'), { recursive: true });
      writeFileSync(join(directory, name), name === 'empty' ? '' : `${name}\n`.repeat(700));
    }
    const bytes = execFileSync('tar', ['-cf', '-', '--format=gnu', '--null', '-T', '-'], {
      cwd: directory,
      input: names.map((name) => `${name}\0`).join(''),
    });
    for (const sizes of [[bytes.length], [1000], [7, 513]]) {
      const { entries, isComplete } = read(bytes, sizes);
      expect(isComplete).toBe(true);
      expect(entries.map(({ name, body }) => [name, body.toString()])).toEqual(
        names.map((name) => [name, name === 'empty' ? '' : `${name}\n`.repeat(700)]),
      );
    }
  });

  it('reads the same in whatever pieces it comes', () => {
    const bodies = fc.array(fc.uint8Array({ maxLength: 2000 }), { maxLength: 5 });
    fc.assert(
      fc.property(bodies, fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1 }), (all, sizes) => {
        const bytes = Buffer.concat([
          ...all.map((body, index) => entry({ name: `file-${index}`, body: Buffer.from(body) })),
          endOfTar,
        ]);
        const { entries, isComplete } = read(bytes, sizes);
        expect(isComplete).toBe(true);
        expect(entries.map(({ body }) => body)).toEqual(all.map((body) => Buffer.from(body)));
      }),
      { numRuns: 200 },
    );
  });

  it('knows a tar that has broken off', () => {
    expect(read(entry({ body: Buffer.from('text') }), [512]).isComplete).toBe(false);
  });

  it('tells the type of what is no file, and looks for no content behind it', () => {
    const types = ['1', '2', '3', '4', '5', '6'];
    const bytes = Buffer.concat([...types.map((type) => entry({ name: `t${type}`, type })), endOfTar]);
    expect(read(bytes, [bytes.length]).entries.map(({ type }) => type)).toEqual(types);
  });

  it.each<[string, () => Buffer]>([
    ['what is no tar', () => Buffer.alloc(512, 'x')],
    [
      'a header with a flipped bit',
      () => {
        const bytes = entry({});
        bytes[3] = 1;
        return bytes;
      },
    ],
    ['a name of a megabyte', () => entry({ name: 'n'.repeat(1 << 20) })],
    ['the target of a link', () => entry({ type: '2', linkname: 'l'.repeat(200) })],
    ['a size of more than 2^53', () => hugeEntry()],
  ])('refuses %s', (_, make) => {
    expect(() => read(Buffer.concat([make(), endOfTar]), [512])).toThrow('cannot be read');
  });
});

/** An entry with a size of 2^64 in base 256, and the checksum that belongs to it. */
function hugeEntry(): Buffer {
  const header = entry({}).subarray(0, 512);
  header.fill(0, 124, 136);
  header[124] = 0x80;
  header[127] = 1;
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}
