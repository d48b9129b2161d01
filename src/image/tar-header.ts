/** Reading and patching of 512-byte tar headers (POSIX pax interchange format; GNU base-256 numbers). */

export const blockBytes = 512;

/** Rounded up to whole blocks. */
export function paddedBytes(size: number): number {
  return Math.ceil(size / blockBytes) * blockBytes;
}

const fields = {
  name: [0, 100],
  mode: [100, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  magic: [257, 6],
  prefix: [345, 155],
} as const;

function readText(header: Buffer, [offset, length]: readonly [number, number]): string {
  const end = header.indexOf(0, offset);
  // latin1 keeps every byte of a name that is not UTF-8.
  return header.toString('latin1', offset, end === -1 || end > offset + length ? offset + length : end);
}

function readNumber(header: Buffer, field: readonly [number, number]): number {
  const [offset, length] = field;
  if (((header[offset] ?? 0) & 0x80) === 0) return Number.parseInt(readText(header, field).trim() || '0', 8);
  let value = (header[offset] ?? 0) & 0x7f;
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

export function parseTarHeader(header: Buffer): TarHeader {
  const prefix =
    readText(header, fields.magic).startsWith('ustar') && header[262] === 0 ? readText(header, fields.prefix) : '';
  const name = readText(header, fields.name);
  const type = String.fromCharCode(header[156] ?? 0);
  return {
    path: prefix === '' ? name : `${prefix}/${name}`,
    size: readNumber(header, fields.size),
    mode: readNumber(header, fields.mode),
    type: type === '\0' ? '0' : type,
  };
}

export function isEndBlock(header: Buffer): boolean {
  return header.every((byte) => byte === 0);
}

function writeOctal(header: Buffer, [offset, length]: readonly [number, number], value: number): void {
  header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset, length, 'latin1');
}

function writeChecksum(header: Buffer): void {
  const [offset, length] = fields.checksum;
  header.fill(0x20, offset, offset + length);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, offset, length, 'latin1');
}

/** Changes mode and, if given, modification time (seconds) of a header in place. */
export function patchTarHeader(header: Buffer, change: { mode: number; mtime?: number }): void {
  writeOctal(header, fields.mode, change.mode);
  if (change.mtime !== undefined) writeOctal(header, fields.mtime, change.mtime);
  writeChecksum(header);
}

export interface TarEntry {
  /** Relative, without a trailing slash, at most 100 bytes. */
  path: string;
  mode: number;
  content: { type: 'directory' } | { type: 'file'; bytes: Buffer };
}

/** A whole entry, owned by root, with modification time 0. */
export function renderTarEntry({ path, mode, content }: TarEntry): Buffer {
  const header = Buffer.alloc(blockBytes);
  const bytes = content.type === 'file' ? content.bytes : Buffer.alloc(0);
  const name = Buffer.from(content.type === 'directory' ? `${path}/` : path, 'utf8');
  if (name.length > 100) throw new RangeError(path);
  name.copy(header);
  for (const field of [
    [108, 8],
    [116, 8],
    [329, 8],
    [337, 8],
  ] as const)
    writeOctal(header, field, 0);
  writeOctal(header, fields.size, bytes.length);
  header.write(content.type === 'directory' ? '5' : '0', 156, 'latin1');
  header.write('ustar\u000000', 257, 'latin1');
  patchTarHeader(header, { mode, mtime: 0 });
  return Buffer.concat([header, bytes, Buffer.alloc(paddedBytes(bytes.length) - bytes.length)]);
}

/** The records of a pax extended header, one character a byte; undefined if they are malformed. */
export function parsePaxRecords(body: Buffer): Map<string, string> | undefined {
  const records = new Map<string, string>();
  for (let offset = 0; offset < body.length && body[offset] !== 0;) {
    const space = body.indexOf(0x20, offset);
    const digits = body.toString('latin1', offset, space);
    const length = Number(digits);
    if (space === -1 || !/^\d+$/.test(digits) || length < 5 || offset + length > body.length) return undefined;
    const record = body.toString('latin1', space + 1, offset + length - 1);
    const equals = record.indexOf('=');
    records.set(record.slice(0, equals), record.slice(equals + 1));
    offset += length;
  }
  return records;
}
