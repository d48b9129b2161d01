import { HpcrunError } from '../errors.js';
import type { PaxRecord } from './pax.js';
import { blockBytes, paddedBytes } from './tar-header.js';

/** A stretch of a sparse file that is stored; everything between is zeros. */
interface Extent {
  offset: number;
  length: number;
}

/** How a sparse file is stored (GNU tar manual, "Storing Sparse Files"; formats 0.0, 0.1 and 1.0). */
export interface SparseLayout {
  /** Formats 0.1 and 1.0 keep the name out of `path`. */
  name: string | undefined;
  realSize: number;
  /** Undefined where the map stands in front of the data, as text (1.0). */
  extents: Extent[] | undefined;
}

/** The layout that the records of an entry tell; undefined for a file that is not sparse. */
export function parseSparseLayout(records: readonly PaxRecord[]): SparseLayout | undefined {
  let name: string | undefined;
  let realSize: number | undefined;
  let inBody = false;
  const numbers: number[] = [];
  for (const [key, value] of records) {
    if (key === 'GNU.sparse.name') name = value;
    else if (key === 'GNU.sparse.size' || key === 'GNU.sparse.realsize') realSize = Number(value);
    else if (key === 'GNU.sparse.major') inBody = Number(value) === 1;
    else if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') numbers.push(Number(value));
    else if (key === 'GNU.sparse.map') numbers.push(...value.split(',').map(Number));
  }
  if (realSize === undefined) return undefined;
  return { name, realSize, extents: inBody ? undefined : pairs(numbers) };
}

function pairs(numbers: number[]): Extent[] {
  const extents: Extent[] = [];
  for (let index = 0; index + 1 < numbers.length; index += 2)
    extents.push({ offset: numbers[index] ?? 0, length: numbers[index + 1] ?? 0 });
  return extents;
}

const zeros = Buffer.alloc(1 << 16);

/**
 * Makes a sparse file whole while it streams. mksquashfs finds the zeros again by itself; of sparse entries, 4.5 refuses
 * those whose size is not a multiple of 512 or whose name begins with `./`. Throws CONVERSION_FAILED for a broken map.
 */
export class SparseExpander {
  private extents: Extent[];
  private map: Buffer | undefined;
  private index = 0;
  /** Position in the file. */
  private position = 0;

  constructor(private readonly layout: SparseLayout) {
    if (!Number.isSafeInteger(layout.realSize) || layout.realSize < 0) throw broken();
    this.extents = this.checked(layout.extents ?? []);
    this.map = layout.extents ? undefined : Buffer.alloc(0);
  }

  /** The next bytes as stored, padding included. */
  *push(stored: Buffer): Generator<Buffer> {
    let rest = stored;
    if (this.map) {
      this.map = Buffer.concat([this.map, stored]);
      const mapBytes = this.readMap(this.map);
      if (mapBytes === undefined) return;
      rest = this.map.subarray(mapBytes);
      this.map = undefined;
    }
    while (rest.length > 0) {
      const extent = this.extents[this.index];
      if (!extent) return;
      const end = extent.offset + extent.length;
      yield* this.fill(extent.offset);
      const part = rest.subarray(0, end - this.position);
      if (part.length > 0) yield part;
      this.position += part.length;
      rest = rest.subarray(part.length);
      if (this.position === end) this.index += 1;
    }
  }

  /** What is left of the file, and its padding. */
  *end(): Generator<Buffer> {
    if (this.map || this.extents.slice(this.index).some(({ length }) => length > 0)) throw broken();
    yield* this.fill(paddedBytes(this.layout.realSize));
  }

  private *fill(until: number): Generator<Buffer> {
    while (this.position < until) {
      const part = zeros.subarray(0, until - this.position);
      yield part;
      this.position += part.length;
    }
  }

  /** The bytes of the map, once it is complete: the number of extents and each offset and length, a line each. */
  private readMap(bytes: Buffer): number | undefined {
    const numbers: number[] = [];
    let from = 0;
    while (numbers.length === 0 || numbers.length < 1 + 2 * (numbers[0] ?? 0)) {
      const end = bytes.indexOf(0x0a, from);
      if (end === -1) {
        if (bytes.length - from > blockBytes) throw broken();
        return undefined;
      }
      const number = Number(bytes.toString('latin1', from, end));
      if (!Number.isSafeInteger(number)) throw broken();
      numbers.push(number);
      from = end + 1;
    }
    if (bytes.length < paddedBytes(from)) return undefined;
    this.extents = this.checked(pairs(numbers.slice(1)));
    return paddedBytes(from);
  }

  private checked(extents: Extent[]): Extent[] {
    let end = 0;
    for (const { offset, length } of extents) {
      if (!(offset >= end && length >= 0 && offset + length <= this.layout.realSize)) throw broken();
      end = offset + length;
    }
    return extents;
  }
}

function broken(): HpcrunError {
  return new HpcrunError(
    'CONVERSION_FAILED',
    "the image's file system could not be read: the map of a sparse file is broken",
    {
      hint: 'Run the command again.',
    },
  );
}
