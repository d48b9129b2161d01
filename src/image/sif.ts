import { HpcrunError } from '../errors.js';

/**
 * The Singularity Image Format (SIF) 1.0: a global header, a table of descriptors, then the data objects. Little-endian,
 * packed. Source: the format's description in apptainer/sif, checked against images that Apptainer made.
 */

const descriptorCount = 48;
const descriptorBytes = 585;
const descriptorsOffset = 4096;

/** Where the root file system starts: the first multiple of 4096 behind the descriptor table. */
export const partitionOffset = 32_768;

/** Partitions start at multiples of this. */
export const partitionAlignment = 4096;

const architectureCodes: Record<string, string> = {
  '386': '01',
  amd64: '02',
  arm: '03',
  arm64: '04',
  ppc64: '05',
  ppc64le: '06',
  s390x: '11',
  riscv64: '12',
};

const dataTypes = { definition: 0x4001, labels: 0x4003, partition: 0x4004, json: 0x4006 } as const;
const partitionTypes = { system: 2, overlay: 4 } as const;
const squashfsType = 1;

// One image must give the same bytes on every machine and day, so neither is taken from the clock.
const time = 0n;
const uuid = Buffer.from('6870637275 6e 4000 8000 000000000001'.replaceAll(' ', ''), 'hex');

/** A data object of a SIF; a `system` and an `overlay` are squashfs partitions. */
export interface SifObject {
  type: 'definition' | 'labels' | 'json' | 'system' | 'overlay';
  /** Up to 127 bytes. */
  name: string;
  offset: number;
  sizeBytes: number;
}

export interface SifContents {
  /** Go's name, such as `amd64`. */
  architecture: string;
  objects: SifObject[];
}

/**
 * Everything in front of the data: global header and descriptor table, `partitionOffset` bytes. Descriptors get the ids 1,
 * 2, … in the order of `objects`. Throws CONVERSION_FAILED for an architecture SIF has no code for.
 */
export function renderSifHead({ architecture, objects }: SifContents): Buffer {
  const code = architectureCodes[architecture];
  if (code === undefined) {
    throw new HpcrunError('CONVERSION_FAILED', `SIF images cannot be made for the architecture "${architecture}"`, {
      hint: `Build the image for one of: ${Object.keys(architectureCodes).join(', ')}.`,
    });
  }
  if (objects.length > descriptorCount) throw new RangeError(`a SIF holds ${descriptorCount} objects`);
  const head = Buffer.alloc(partitionOffset);
  head.write('#!/usr/bin/env run-singularity\n', 0, 32, 'latin1');
  head.write('SIF_MAGIC\0', 32, 10, 'latin1');
  head.write('01\0', 42, 3, 'latin1');
  head.write(`${code}\0`, 45, 3, 'latin1');
  uuid.copy(head, 48);
  const end = Math.max(partitionOffset, ...objects.map(({ offset, sizeBytes }) => offset + sizeBytes));
  const numbers = [
    time, // created
    time, // modified
    BigInt(descriptorCount - objects.length), // free
    BigInt(descriptorCount), // total
    BigInt(descriptorsOffset),
    BigInt(descriptorCount * descriptorBytes),
    BigInt(partitionOffset), // data offset
    BigInt(end - partitionOffset), // data size
  ];
  for (const [index, value] of numbers.entries()) head.writeBigInt64LE(value, 64 + 8 * index);
  for (const [index, object] of objects.entries()) {
    writeDescriptor(head, descriptorsOffset + descriptorBytes * index, index + 1, object, code);
  }
  return head;
}

function writeDescriptor(head: Buffer, start: number, id: number, object: SifObject, architectureCode: string): void {
  const isPartition = object.type === 'system' || object.type === 'overlay';
  let at = start;
  const i32 = (value: number) => (at = head.writeInt32LE(value, at));
  const u32 = (value: number) => (at = head.writeUInt32LE(value, at));
  const i64 = (value: bigint) => (at = head.writeBigInt64LE(value, at));
  i32(typeCode(object.type));
  at = head.writeUInt8(1, at); // in use
  u32(id);
  u32(0xf0000001); // group 1
  u32(0); // linked to nothing
  i64(BigInt(object.offset));
  i64(BigInt(object.sizeBytes));
  i64(BigInt(object.sizeBytes)); // with padding
  i64(time);
  i64(time);
  i64(0n); // uid
  i64(0n); // gid
  head.write(object.name, at, 127, 'utf8');
  at += 128;
  if (!isPartition) return;
  i32(squashfsType);
  i32(partitionTypes[object.type === 'system' ? 'system' : 'overlay']);
  head.write(`${architectureCode}\0`, at, 3, 'latin1');
}

function typeCode(type: SifObject['type']): number {
  return type === 'system' || type === 'overlay' ? dataTypes.partition : dataTypes[type];
}

/**
 * Reads what `renderSifHead` writes, of images made by others as well; objects of other types are left out.
 * @param head the first `partitionOffset` bytes. Undefined if it is not a SIF.
 */
export function parseSifHead(head: Buffer): SifContents | undefined {
  if (head.length < partitionOffset || head.toString('latin1', 32, 41) !== 'SIF_MAGIC') return undefined;
  const code = head.toString('latin1', 45, 47);
  const architecture = Object.entries(architectureCodes).find(([, known]) => known === code)?.[0] ?? 'unknown';
  const tableOffset = Number(head.readBigInt64LE(96));
  const total = Number(head.readBigInt64LE(88));
  const objects: SifObject[] = [];
  for (let index = 0; index < total; index += 1) {
    const start = tableOffset + descriptorBytes * index;
    if (start + descriptorBytes > head.length) break;
    const type = objectType(head, start);
    if (head[start + 4] !== 1 || type === undefined) continue;
    objects.push({
      type,
      name: head.toString('utf8', start + 73, start + 201).replace(/\0.*$/s, ''),
      offset: Number(head.readBigInt64LE(start + 17)),
      sizeBytes: Number(head.readBigInt64LE(start + 25)),
    });
  }
  return { architecture, objects };
}

function objectType(head: Buffer, start: number): SifObject['type'] | undefined {
  switch (head.readInt32LE(start)) {
    case dataTypes.definition:
      return 'definition';
    case dataTypes.labels:
      return 'labels';
    case dataTypes.json:
      return 'json';
    case dataTypes.partition: {
      const type = head.readInt32LE(start + 205);
      return type === partitionTypes.system ? 'system' : type === partitionTypes.overlay ? 'overlay' : undefined;
    }
    default:
      return undefined;
  }
}

/** Where the next object may begin. */
export function alignPartition(offset: number): number {
  return Math.ceil(offset / partitionAlignment) * partitionAlignment;
}
