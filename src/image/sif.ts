import { HpcrunError } from '../errors.js';

/**
 * The Singularity Image Format (SIF) 1.0, as much of it as an image with one squashfs partition needs: a global header,
 * a table of descriptors, then the data objects. Little-endian, packed. Source: the format's description in
 * apptainer/sif, checked against images that Apptainer made.
 */

const descriptorCount = 48;
const descriptorBytes = 585;
const descriptorsOffset = 4096;

/** Where the partition starts: the first multiple of 4096 behind the descriptor table. */
export const partitionOffset = 32_768;

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

// One image must give the same bytes on every machine and day, so neither is taken from the clock.
const time = 0n;
const uuid = Buffer.from('6870637275 6e 4000 8000 000000000001'.replaceAll(' ', ''), 'hex');

/**
 * Everything in front of the partition: global header and descriptor table, `partitionOffset` bytes.
 * @param architecture Go's name, such as `amd64`. Throws CONVERSION_FAILED for one SIF has no code for.
 */
export function renderSifHead(architecture: string, partitionBytes: number): Buffer {
  const code = architectureCodes[architecture];
  if (code === undefined) {
    throw new HpcrunError('CONVERSION_FAILED', `SIF images cannot be made for the architecture "${architecture}"`, {
      hint: `Build the image for one of: ${Object.keys(architectureCodes).join(', ')}.`,
    });
  }
  const head = Buffer.alloc(partitionOffset);
  head.write('#!/usr/bin/env run-singularity\n', 0, 32, 'latin1');
  head.write('SIF_MAGIC\0', 32, 10, 'latin1');
  head.write('01\0', 42, 3, 'latin1');
  head.write(`${code}\0`, 45, 3, 'latin1');
  uuid.copy(head, 48);
  const numbers = [
    time, // created
    time, // modified
    BigInt(descriptorCount - 1), // free
    BigInt(descriptorCount), // total
    BigInt(descriptorsOffset),
    BigInt(descriptorCount * descriptorBytes),
    BigInt(partitionOffset), // data offset
    BigInt(partitionBytes), // data size
  ];
  for (const [index, value] of numbers.entries()) head.writeBigInt64LE(value, 64 + 8 * index);
  writePartitionDescriptor(head, descriptorsOffset, code, partitionBytes);
  return head;
}

function writePartitionDescriptor(head: Buffer, start: number, architectureCode: string, sizeBytes: number): void {
  let at = start;
  const i32 = (value: number) => (at = head.writeInt32LE(value, at));
  const u32 = (value: number) => (at = head.writeUInt32LE(value, at));
  const i64 = (value: bigint) => (at = head.writeBigInt64LE(value, at));
  i32(0x4004); // partition
  at = head.writeUInt8(1, at); // in use
  u32(1); // id
  u32(0xf0000001); // group 1
  u32(0); // linked to nothing
  i64(BigInt(partitionOffset));
  i64(BigInt(sizeBytes));
  i64(BigInt(sizeBytes)); // with padding
  i64(time);
  i64(time);
  i64(0n); // uid
  i64(0n); // gid
  head.write('rootfs.squashfs', at, 128, 'latin1');
  at += 128;
  i32(1); // squashfs
  i32(2); // primary system partition
  head.write(`${architectureCode}\0`, at, 3, 'latin1');
}
