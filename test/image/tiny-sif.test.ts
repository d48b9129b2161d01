import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseSifHead } from '../../src/image/sif.js';
import { renderTinySif } from '../../src/image/tiny-sif.js';
import { runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

describe('renderTinySif', () => {
  it.each([
    ['gzip', 1],
    ['zstd', 6],
  ] as const)('is a SIF of a %s squashfs with the directories a container needs', async (compression, id) => {
    const sif = renderTinySif('arm64', compression);
    const contents = parseSifHead(sif.subarray(0, 32_768));
    expect(contents).toMatchObject({
      architecture: 'arm64',
      objects: [{ type: 'system', offset: 32_768, sizeBytes: 4096 }],
    });
    expect(sif.length).toBe(32_768 + 4096);
    // Magic and compression of the superblock (squashfs, Documentation/filesystems/squashfs.rst).
    expect(sif.toString('latin1', 32_768, 32_772)).toBe('hsqs');
    expect(sif.readUInt16LE(32_768 + 20)).toBe(id);
    const path = join(await makeTemporaryDirectory(), 'tiny.sif');
    await writeFile(path, sif);
    const { stdout, status } = runShell('/bin/sh', `unsquashfs -o 32768 -l ${path}`);
    expect(status).toBe(0);
    for (const name of ['dev', 'proc', 'sys', 'tmp', 'var/tmp', 'root', 'home', 'etc/passwd', 'usr', 'lib64'])
      expect(stdout).toContain(`squashfs-root/${name}\n`);
  });
});
