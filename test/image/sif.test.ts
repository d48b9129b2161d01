import { describe, expect, it } from 'vitest';
import { parseSifHead, partitionOffset, renderSifHead, type SifContents } from '../../src/image/sif.js';
import { failureOf } from '../support/failure.js';

const sizeBytes = 5_000_000_000;
const system = { type: 'system', name: 'rootfs.squashfs', offset: partitionOffset, sizeBytes } as const;
const head = renderSifHead({ architecture: 'amd64', objects: [system] });
const text = (offset: number, length: number) => head.toString('latin1', offset, offset + length);
const i64 = (offset: number) => Number(head.readBigInt64LE(offset));

describe('renderSifHead', () => {
  it('fills the room in front of the partition, which starts at a multiple of 4096', () => {
    expect(head).toHaveLength(partitionOffset);
    expect(partitionOffset % 4096).toBe(0);
    expect(partitionOffset).toBeGreaterThanOrEqual(4096 + 48 * 585);
  });

  it('writes the global header', () => {
    expect(text(0, 32)).toBe('#!/usr/bin/env run-singularity\n\0');
    expect(text(32, 10)).toBe('SIF_MAGIC\0');
    expect(text(42, 3)).toBe('01\0');
    expect(text(45, 3)).toBe('02\0');
    // RFC 9562: version 4, variant 10
    expect(text(48, 16)).not.toBe('\0'.repeat(16));
    expect((head[54] ?? 0) >> 4).toBe(4);
    expect((head[56] ?? 0) >> 6).toBe(0b10);
    expect([i64(64), i64(72)]).toEqual([0, 0]); // created, modified
    expect([i64(80), i64(88)]).toEqual([47, 48]); // descriptors free, total
    expect([i64(96), i64(104)]).toEqual([4096, 28_080]); // descriptor offset, size
    expect([i64(112), i64(120)]).toEqual([partitionOffset, sizeBytes]); // data offset, size
    expect(head.subarray(128, 4096).every((byte) => byte === 0)).toBe(true);
  });

  it('writes one partition descriptor', () => {
    const at = 4096;
    expect(head.readInt32LE(at)).toBe(0x4004); // partition
    expect(head[at + 4]).toBe(1); // used
    expect(head.readUInt32LE(at + 5)).toBe(1); // id
    expect(head.readUInt32LE(at + 9)).toBe(0xf0000001); // group
    expect(head.readUInt32LE(at + 13)).toBe(0); // link
    expect([17, 25, 33].map((offset) => i64(at + offset))).toEqual([partitionOffset, sizeBytes, sizeBytes]);
    expect([41, 49, 57, 65].map((offset) => i64(at + offset))).toEqual([0, 0, 0, 0]); // times, uid, gid
    expect(text(at + 73, 128).replace(/\0+$/, '')).toBe('rootfs.squashfs');
    expect(head.readInt32LE(at + 201)).toBe(1); // squashfs
    expect(head.readInt32LE(at + 205)).toBe(2); // primary system partition
    expect(text(at + 209, 3)).toBe('02\0');
    expect(head.subarray(at + 212).every((byte) => byte === 0)).toBe(true);
  });

  it.each([
    ['386', '01'],
    ['amd64', '02'],
    ['arm', '03'],
    ['arm64', '04'],
    ['ppc64le', '06'],
    ['s390x', '11'],
    ['riscv64', '12'],
  ])('calls %s %s, in header and descriptor', (architecture, code) => {
    const other = renderSifHead({ architecture, objects: [{ ...system, sizeBytes: 1 }] });
    expect(other.toString('latin1', 45, 48)).toBe(`${code}\0`);
    expect(other.toString('latin1', 4096 + 209, 4096 + 212)).toBe(`${code}\0`);
  });

  it('gives the same bytes for the same image', () => {
    const render = (bytes: number) =>
      renderSifHead({ architecture: 'amd64', objects: [{ ...system, sizeBytes: bytes }] });
    expect(render(sizeBytes)).toEqual(head);
    expect(render(sizeBytes + 1)).not.toEqual(head);
  });

  it('refuses an architecture without a code', async () => {
    const error = await failureOf(() => renderSifHead({ architecture: 'z80', objects: [] }));
    expect(error.code).toBe('CONVERSION_FAILED');
    expect(error.message).toContain('"z80"');
  });
});

describe('parseSifHead', () => {
  it('reads back what was written, several partitions and other objects among it', () => {
    const contents: SifContents = {
      architecture: 'arm64',
      objects: [
        system,
        { type: 'overlay', name: 'overlay-1.squashfs', offset: 5_000_040_448, sizeBytes: 4096 },
        { type: 'definition', name: 'Singularity', offset: 5_000_044_544, sizeBytes: 40 },
        { type: 'labels', name: 'labels.json', offset: 5_000_044_584, sizeBytes: 2 },
        { type: 'json', name: 'oci-config.json', offset: 5_000_044_586, sizeBytes: 300 },
      ],
    };
    expect(parseSifHead(renderSifHead(contents))).toEqual(contents);
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a short file', head.subarray(0, 500)],
    ['another file', Buffer.alloc(partitionOffset, 'x')],
  ])('knows that %s is no SIF', (_, bytes) => {
    expect(parseSifHead(bytes)).toBeUndefined();
  });
});
