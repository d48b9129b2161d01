import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pack } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { HpcrunError } from '../../src/errors.js';
import { convertImage } from '../../src/image/convert.js';
import type { Compression } from '../../src/image/squash.js';
import { emptyImage, type ContainerEngine, type ImageInfo } from '../../src/image/engine.js';
import { partitionOffset } from '../../src/image/sif.js';
import { readSif, readSifInfo } from '../../src/image/sif-file.js';
import { collect, inPieces } from '../support/chunks.js';
import { failureOf } from '../support/failure.js';
import { findProgram } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const info: ImageInfo = {
  ...emptyImage,
  id: 'sha256:1',
  command: ['cat', '/app/text'],
  environment: ['A=1'],
};

const makeRootfs = async (exportedAt: Date) => {
  const packer = pack();
  packer.entry({ name: '.dockerenv', mtime: exportedAt }, '');
  packer.entry({ name: 'app/', type: 'directory', mtime: new Date(0) });
  packer.entry({ name: 'app/text', mode: 0o600, mtime: new Date(1e12) }, 'text '.repeat(50_000));
  packer.entry({ name: 'etc/', type: 'directory', mtime: exportedAt });
  packer.entry({ name: 'etc/hosts', mtime: exportedAt }, 'stub');
  packer.finalize();
  return await collect(packer);
};

/** An engine with one image, whose file system is the given bytes. It cannot build. */
const engineWith = (rootfs: Buffer, pieces: number[], failure?: HpcrunError) => {
  const state = { isDisposed: false };
  const engine: ContainerEngine = {
    name: 'docker',
    architecture: () => Promise.resolve('amd64'),
    pull: () => Promise.reject(new Error('this engine does not pull')),
    build: () => Promise.reject(new Error('this engine does not build')),
    inspect: () => Promise.resolve(info),
    saveArchive: () => Promise.reject(new Error('this engine does not save')),
    push: () => Promise.reject(new Error('this engine does not push')),
    runScript: () => {
      throw new Error('this engine does not run');
    },
    exportRootfs: () => {
      const completed = failure ? Promise.reject(failure) : Promise.resolve();
      completed.catch(() => undefined);
      const dispose = () => {
        state.isDisposed = true;
        return Promise.resolve();
      };
      return Promise.resolve({ pieces: Readable.from(inPieces(rootfs, pieces)), completed, dispose });
    },
  };
  return { engine, state };
};

const { signal } = new AbortController();
const hasMksquashfs = findProgram('mksquashfs') !== undefined && findProgram('unsquashfs') !== undefined;

describe('convertImage', () => {
  it.for<Compression>(['gzip', 'zstd'])('makes a SIF that unsquashfs reads: %s', async (compression, context) => {
    if (!hasMksquashfs) return context.skip('squashfs-tools are not installed');
    const output = join(await makeTemporaryDirectory(), 'image.sif');
    const { engine, state } = engineWith(await makeRootfs(new Date()), [1000]);
    const progress: number[] = [];
    const onProgress = (bytes: number) => void progress.push(bytes);
    const converted = await convertImage(engine, info, output, {
      compression,
      permissions: 'open',
      signal,
      onProgress,
    });

    const sif = await readFile(output);
    expect(converted).toMatchObject({ sha256: createHash('sha256').update(sif).digest('hex'), sizeBytes: sif.length });
    const { architecture, objects } = await readSif(output);
    expect(architecture).toBe('amd64');
    expect(objects.map(({ type, name }) => `${type} ${name}`)).toEqual([
      'system rootfs.squashfs',
      'definition Singularity',
      'labels labels.json',
      'json inspect-metadata.json',
      'json oci-config.json',
    ]);
    expect(await readSifInfo(output)).toEqual({ ...info, id: '' });
    const unsquashfs = (...args: string[]) =>
      execFileSync('unsquashfs', ['-o', String(partitionOffset), ...args], { encoding: 'utf8', maxBuffer: 1 << 24 });
    expect(unsquashfs('-cat', output, 'app/text')).toBe('text '.repeat(50_000));
    expect(unsquashfs('-cat', output, '.singularity.d/env/10-image.sh')).toContain("export A='1'");
    const listing = unsquashfs('-lln', output);
    expect(listing).toMatch(/^-rw-r--r-- 0\/0 +250000 .* squashfs-root\/app\/text$/m);
    expect(listing).toMatch(/^-rw-r--r-- 0\/0 +0 .* squashfs-root\/etc\/hosts$/m);
    expect(listing).not.toContain('.dockerenv');
    expect(progress.at(-1)).toBeGreaterThan(250_000);
    expect(state.isDisposed).toBe(true);
  });

  it('gives the same bytes for another export of the same image', async (context) => {
    if (!hasMksquashfs) return context.skip('squashfs-tools are not installed');
    const directory = await makeTemporaryDirectory();
    const convert = async (name: string, exportedAt: Date, pieces: number[]) => {
      const { engine } = engineWith(await makeRootfs(exportedAt), pieces);
      return await convertImage(engine, info, join(directory, name), {
        compression: 'gzip',
        permissions: 'open',
        signal,
      });
    };
    const first = await convert('one', new Date(1.6e12), [4096]);
    expect(await convert('two', new Date(1.7e12), [77, 100_000])).toEqual(first);
  });

  it('fails with the words of the engine when the engine fails, and leaves nothing behind', async (context) => {
    if (!hasMksquashfs) return context.skip('squashfs-tools are not installed');
    const output = join(await makeTemporaryDirectory(), 'image.sif');
    const rootfs = (await makeRootfs(new Date())).subarray(0, 20_000);
    const { engine, state } = engineWith(rootfs, [4096], new HpcrunError('ENGINE_FAILED', 'the engine has died'));
    const error = await failureOf(() =>
      convertImage(engine, info, output, { compression: 'gzip', permissions: 'open', signal }),
    );
    expect(error.message).toBe('the engine has died');
    expect(existsSync(output)).toBe(false);
    expect(state.isDisposed).toBe(true);
  });

  it('fails for an export that ends early, and leaves nothing behind', async (context) => {
    if (!hasMksquashfs) return context.skip('squashfs-tools are not installed');
    const output = join(await makeTemporaryDirectory(), 'image.sif');
    const { engine } = engineWith((await makeRootfs(new Date())).subarray(0, 20_000), [4096]);
    const error = await failureOf(() =>
      convertImage(engine, info, output, { compression: 'gzip', permissions: 'open', signal }),
    );
    expect(error.code).toBe('CONVERSION_FAILED');
    expect(existsSync(output)).toBe(false);
  });

  it('does not begin once it is interrupted', async () => {
    const output = join(await makeTemporaryDirectory(), 'image.sif');
    const { engine } = engineWith(Buffer.alloc(1024), [512]);
    const options = { compression: 'gzip', permissions: 'open', signal: AbortSignal.abort() } as const;
    expect((await failureOf(() => convertImage(engine, info, output, options))).code).toBe('INTERRUPTED');
    expect(existsSync(output)).toBe(false);
  });
});
