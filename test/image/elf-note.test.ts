import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { open } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parseElf } from '../../src/image/elf-note.js';
import { findProgram } from '../support/shell.js';
import { renderElf } from '../support/raw-elf.js';

const readHead = async (path: string) => {
  const file = await open(path);
  try {
    const head = Buffer.alloc(4096);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    return head.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
};

describe('parseElf', () => {
  it.each([
    ['386', { machine: 3, bits: 32, order: 'little' }],
    ['arm', { machine: 40, bits: 32, order: 'little' }],
    ['amd64', { machine: 62, bits: 64, order: 'little' }],
    ['arm64', { machine: 183, bits: 64, order: 'little' }],
    ['ppc64le', { machine: 21, bits: 64, order: 'little' }],
    ['ppc64', { machine: 21, bits: 64, order: 'big' }],
    ['s390x', { machine: 22, bits: 64, order: 'big' }],
    ['riscv64', { machine: 243, bits: 64, order: 'little' }],
    [undefined, { machine: 9999, bits: 64, order: 'little' }],
  ] as const)('reads the architecture %s and the kernel of its note', (architecture, kind) => {
    expect(parseElf(renderElf({ ...kind, kernel: [3, 10, 7] }))).toEqual({ architecture, minimumKernel: '3.10.7' });
    expect(parseElf(renderElf(kind))).toEqual({ architecture, minimumKernel: undefined });
  });

  it('leaves alone what is no ELF file', () => {
    expect(parseElf(Buffer.from('#!/bin/sh\nexec true\n'.repeat(10)))).toBeUndefined();
    expect(parseElf(Buffer.from('\x7fELF\x02\x01'))).toBeUndefined();
    expect(parseElf(Buffer.alloc(0))).toBeUndefined();
  });

  it('takes no note that is not for Linux, and none that lies behind what it is given', () => {
    const kind = { machine: 62, bits: 64, order: 'little' } as const;
    expect(parseElf(renderElf({ ...kind, kernel: [3, 2, 0], system: 1 }))?.minimumKernel).toBeUndefined();
    const elf = renderElf({ ...kind, kernel: [3, 2, 0] });
    for (let length = 64; length < elf.length; length += 1)
      expect(parseElf(elf.subarray(0, length))).toEqual({ architecture: 'amd64', minimumKernel: undefined });
  });

  it('comes to an end for any bytes', () => {
    const elf = renderElf({ machine: 62, bits: 64, order: 'little', kernel: [3, 2, 0] });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(elf.length - 1), fc.nat(255)), { maxLength: 20 }), (changes) => {
        const bytes = Buffer.from(elf);
        for (const [at, value] of changes) if (at > 5) bytes[at] = value;
        expect(parseElf(bytes)).toBeDefined();
      }),
    );
  });

  it('agrees with readelf on the program that runs this', async (context) => {
    if (findProgram('readelf') === undefined || process.platform !== 'linux')
      return context.skip('needs Linux and readelf');
    const names: Record<string, string> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };
    const notes = execFileSync('readelf', ['-n', process.execPath], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    expect(parseElf(await readHead(process.execPath))).toEqual({
      architecture: names[process.arch] ?? process.arch,
      minimumKernel: /OS: Linux, ABI: (\S+)/.exec(notes)?.[1],
    });
  });
});
