/** Writes tar entries byte by byte, so that tests can make what no library would. Names hold one character a byte. */

export interface RawEntry {
  name: string;
  /** `0` file, `1` hard link, `2` symlink, `3` character device, `5` directory, `6` fifo. */
  type: string;
  mode: number;
  mtime: number;
  linkname: string;
  body: Buffer;
  /** How a name that does not fit into the header travels. */
  longNames: 'pax' | 'gnu';
}

export const endOfTar = Buffer.alloc(1024);

export function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

function rawHeader(name: string, type: string, mode: number, mtime: number, size: number, linkname: string): Buffer {
  const header = Buffer.alloc(512);
  const octal = (value: number, offset: number, length: number) =>
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset, 'latin1');
  header.write(name, 0, 100, 'latin1');
  octal(mode, 100, 8);
  octal(1000, 108, 8);
  octal(1000, 116, 8);
  octal(size, 124, 12);
  octal(mtime, 136, 12);
  header.fill(0x20, 148, 156);
  header.write(type, 156, 'latin1');
  header.write(linkname, 157, 100, 'latin1');
  header.write('ustar\u000000', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** One record of a pax header, whose length counts itself. */
export function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (`${length}${rest}`.length !== length) length = `${length}${rest}`.length;
  return `${length}${rest}`;
}

function extension(type: string, body: string): Buffer {
  const bytes = Buffer.from(body, 'latin1');
  return Buffer.concat([rawHeader('././@LongLink', type, 0o644, 0, bytes.length, ''), padded(bytes)]);
}

function extensions({ name, linkname, longNames }: RawEntry): Buffer[] {
  const isLong = [name.length > 100, linkname.length > 100] as const;
  if (longNames === 'gnu') {
    return [
      ...(isLong[1] ? [extension('K', `${linkname}\0`)] : []),
      ...(isLong[0] ? [extension('L', `${name}\0`)] : []),
    ];
  }
  const records = [
    ...(isLong[0] ? [paxRecord('path', name)] : []),
    ...(isLong[1] ? [paxRecord('linkpath', linkname)] : []),
  ];
  return records.length === 0 ? [] : [extension('x', records.join(''))];
}

/** A whole entry, with the headers before it that long names need. */
export function renderRawEntry(entry: RawEntry): Buffer {
  const { name, type, mode, mtime, linkname, body } = entry;
  return Buffer.concat([
    ...extensions(entry),
    rawHeader(name.slice(0, 100), type, mode, mtime, body.length, linkname.slice(0, 100)),
    padded(body),
  ]);
}
