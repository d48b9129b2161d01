/** Reading, patching and rendering of 512-byte tar headers (POSIX pax interchange format; GNU base-256 numbers). */

export const blockBytes = 512;

/** Rounded up to whole blocks. */
export function paddedBytes(size: number): number {
  return Math.ceil(size / blockBytes) * blockBytes;
}

type Field = readonly [offset: number, length: number];

const fields = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkname: [157, 100],
  magic: [257, 8],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
} as const;

const posixMagic = 'ustar\u000000';
const gnuMagic = 'ustar  ';

function readText(header: Buffer, [offset, length]: Field): string {
  const end = header.indexOf(0, offset);
  // latin1 keeps every byte of a name that is not UTF-8.
  return header.toString('latin1', offset, end === -1 || end > offset + length ? offset + length : end);
}

/** Octal digits, between blanks or before a NUL; NaN for anything else. */
function readOctal(header: Buffer, [offset, length]: Field): number {
  const end = offset + length;
  let at = offset;
  while (at < end && header[at] === 0x20) at += 1;
  let value = 0;
  for (; at < end; at += 1) {
    const digit = (header[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  return at === end || header[at] === 0 || header[at] === 0x20 ? value : Number.NaN;
}

function readNumber(header: Buffer, field: Field): number {
  const [offset, length] = field;
  const first = header[offset] ?? 0;
  if ((first & 0x80) === 0) return readOctal(header, field);
  // Two's complement behind the marking bit.
  let value = (first & 0x40) === 0 ? first & 0x3f : (first & 0x3f) - 0x40;
  for (let index = offset + 1; index < offset + length; index += 1) value = value * 256 + (header[index] ?? 0);
  return value;
}

export interface TarHeader {
  /** As stored, one character a byte; without what a pax or GNU header before it says. */
  path: string;
  size: number;
  mode: number;
  /** `0` file, `1` hard link, `2` symlink, `3` `4` `6` devices and fifo, `5` directory, `x` `g` pax, `L` `K` GNU. */
  type: string;
}

/** What every entry is looked at for; the rest of its header is read where it is wanted. Numbers that are none are NaN. */
export function parseTarHeader(header: Buffer): TarHeader {
  // GNU headers have no prefix, but times where POSIX has it. The first byte tells almost always that there is none.
  const prefix = header[345] !== 0 && header[262] === 0 ? readText(header, fields.prefix) : '';
  const name = readText(header, fields.name);
  const type = String.fromCharCode(header[156] ?? 0);
  return {
    path: prefix === '' || !isPosix(header) ? name : `${prefix}/${name}`,
    size: readNumber(header, fields.size),
    mode: readNumber(header, fields.mode),
    type: type === '\0' ? '0' : type,
  };
}

function isPosix(header: Buffer): boolean {
  return header.toString('latin1', 257, 263) === 'ustar\0';
}

/** Where a link leads, as stored, one character a byte. */
export function parseLinkTarget(header: Buffer): string {
  return readText(header, fields.linkname);
}

export function parseOwner(header: Buffer): { uid: number; gid: number } {
  return { uid: readNumber(header, fields.uid), gid: readNumber(header, fields.gid) };
}

/** Seconds since 1970, before it negative. */
export function parseTime(header: Buffer): number {
  return readNumber(header, fields.mtime);
}

/** Whether the time is stored in base 256, as only times that octal digits cannot tell are. */
export function hasBinaryTime(header: Buffer): boolean {
  return ((header[fields.mtime[0]] ?? 0) & 0x80) !== 0;
}

/** Whether it is a GNU header with times where mksquashfs 4.5 looks for a name's prefix in headers of all kinds. */
export function hasGnuTimes(header: Buffer): boolean {
  return header[345] !== 0 && header.toString('latin1', 257, 264) === gnuMagic;
}

export function isEndBlock(header: Buffer): boolean {
  return header[0] === 0 && header.every((byte) => byte === 0);
}

function writeNumber(header: Buffer, [offset, length]: Field, value: number): void {
  if (value < 8 ** (length - 1)) {
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset, length, 'latin1');
    return;
  }
  header.fill(0, offset, offset + length);
  header.writeBigUInt64BE(BigInt(value), offset + length - 8);
  header[offset] = 0x80;
}

function writeChecksum(header: Buffer): void {
  const [offset, length] = fields.checksum;
  header.fill(0x20, offset, offset + length);
  let sum = 0;
  for (let index = 0; index < blockBytes; index += 1) sum += header[index] ?? 0;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, offset, length, 'latin1');
}

export interface TarHeaderChange {
  mode?: number | undefined;
  size?: number | undefined;
  /** Seconds since 1970. */
  mtime?: number | undefined;
  type?: string | undefined;
  /** One character a byte, at most 100. */
  linkTarget?: string | undefined;
  /** Clears what GNU headers hold behind their device numbers. */
  clearGnuTimes?: boolean | undefined;
}

/** Changes a header in place. */
export function patchTarHeader(header: Buffer, change: TarHeaderChange): void {
  if (change.mode !== undefined) writeNumber(header, fields.mode, change.mode);
  if (change.size !== undefined) writeNumber(header, fields.size, change.size);
  if (change.mtime !== undefined) writeNumber(header, fields.mtime, change.mtime);
  if (change.type !== undefined) header.write(change.type, fields.type[0], 'latin1');
  if (change.linkTarget !== undefined) {
    const [offset, length] = fields.linkname;
    header.fill(0, offset, offset + length);
    header.write(change.linkTarget, offset, length, 'latin1');
  }
  if (change.clearGnuTimes === true) header.fill(0, fields.prefix[0], blockBytes);
  writeChecksum(header);
}

/** A POSIX header owned by root, with modification time 0. `name` holds one character a byte; 100 are kept. */
function renderHeader(name: string, type: string, mode: number, size: number): Buffer {
  const header = Buffer.alloc(blockBytes);
  header.write(name, 0, 100, 'latin1');
  for (const field of [fields.uid, fields.gid, fields.major, fields.minor]) writeNumber(header, field, 0);
  header.write(posixMagic, fields.magic[0], 'latin1');
  patchTarHeader(header, { mode, size, mtime: 0, type });
  return header;
}

/** A header that tells something of the entry after it: `L` its name, `K` where it links to, `x` pax records. */
export function renderExtension(type: 'L' | 'K' | 'x', text: string): Buffer {
  const body = Buffer.from(type === 'x' ? text : `${text}\0`, 'latin1');
  const name = type === 'x' ? './PaxHeaders' : '././@LongLink';
  return Buffer.concat([renderHeader(name, type, 0o644, body.length), pad(body)]);
}

function pad(body: Buffer): Buffer {
  return Buffer.concat([body, Buffer.alloc(paddedBytes(body.length) - body.length)]);
}

export interface TarEntry {
  /** Relative, without a trailing slash, one character a byte. */
  path: string;
  mode: number;
  /** A whiteout is a character device 0:0, with which overlayfs hides an entry below. */
  content:
    | { type: 'directory' }
    | { type: 'file'; bytes: Buffer }
    | { type: 'whiteout' }
    | { type: 'symlink'; /** At most 100 bytes. */ target: string };
}

const entryTypes = { directory: '5', file: '0', whiteout: '3', symlink: '2' } as const;

/** A whole entry, owned by root, with modification time 0. */
export function renderTarEntry({ path, mode, content }: TarEntry): Buffer {
  const bytes = content.type === 'file' ? content.bytes : Buffer.alloc(0);
  const name = content.type === 'directory' ? `${path}/` : path;
  const header = renderHeader(name, entryTypes[content.type], mode, bytes.length);
  if (content.type === 'symlink') patchTarHeader(header, { linkTarget: content.target });
  return Buffer.concat([...(name.length > 100 ? [renderExtension('L', name)] : []), header, pad(bytes)]);
}
