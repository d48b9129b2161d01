import type { FileHandle } from 'node:fs/promises';

/**
 * The few fields of a squashfs (4.0, little-endian) that hpcrun touches. Source: the format's documentation in the Linux
 * kernel, Documentation/filesystems/squashfs.rst, and its on-disk structures in squashfs_fs.h.
 */

const magic = 0x73717368;
const superblockBytes = 96;
const metadataBytes = 8192;
const uncompressedFlag = 0x8000;
const mtimeInInode = 8;

/**
 * Sets the modification time of the root directory to 0. mksquashfs 4.5 takes it from the clock when it reads a tar,
 * whatever -root-time says. Needs an uncompressed inode table (-noI).
 * @param start where the squashfs begins in the file
 */
export async function clearRootTime(file: FileHandle, start: number): Promise<void> {
  const superblock = Buffer.alloc(superblockBytes);
  await file.read(superblock, 0, superblockBytes, start);
  if (superblock.readUInt32LE(0) !== magic) throw new Error('not a squashfs');
  // An inode is named by the offset of its metadata block in the table, and its own offset in the unpacked block.
  const reference = superblock.readBigUInt64LE(32);
  const block = start + Number(superblock.readBigUInt64LE(64)) + Number(reference >> 16n);
  const header = Buffer.alloc(2);
  await file.read(header, 0, 2, block);
  if ((header.readUInt16LE() & uncompressedFlag) === 0) throw new Error('the inode table is compressed');
  const inode = Number(reference & 0xffffn);
  for (let index = inode + mtimeInInode; index < inode + mtimeInInode + 4; index += 1) {
    // Blocks follow each other, each behind two bytes of its length.
    const position = block + 2 + index + (index >= metadataBytes ? 2 : 0);
    await file.write(Buffer.of(0), 0, 1, position);
  }
}
