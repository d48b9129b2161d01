import fc from 'fast-check';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { renderMakeStore } from '../../src/cluster/image-store.js';
import { RemoteLayout } from '../../src/cluster/layout.js';
import { uploadImage, type ImageUpload, type UploadResult } from '../../src/cluster/upload-image.js';
import { blockBytes } from '../../src/transfer/blocks.js';
import { ChunkIndexCache } from '../../src/transfer/chunk-index-cache.js';
import { RateLimit } from '../../src/transfer/rate-limit.js';
import { ShellConnection } from '../support/shell-connection.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

// Shells that are cut off need a moment to notice.
vi.setConfig({ testTimeout: 60_000 });

const noLimit = new RateLimit(undefined);

/** A cluster that is a directory, and a laptop that is another. */
class Lab {
  readonly notes: string[] = [];
  private laptops = 0;

  private constructor(
    readonly directory: string,
    readonly connection: ShellConnection,
    readonly layout: RemoteLayout,
  ) {}

  static async make(connection = new ShellConnection()): Promise<Lab> {
    const directory = await makeTemporaryDirectory();
    return new Lab(directory, connection, new RemoteLayout(join(directory, 'far')));
  }

  async prepare(bytes: Buffer, isSif = true): Promise<ImageUpload> {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const localPath = join(this.directory, sha256);
    await writeFile(localPath, bytes);
    return {
      localPath,
      name: 'an image',
      sha256,
      sizeBytes: bytes.length,
      isSif,
      path: isSif ? this.layout.image(sha256) : this.layout.overlay(sha256),
      mode: '0440',
      makeStore: renderMakeStore(this.layout, undefined),
    };
  }

  /** From a laptop that has never sent anything. */
  async upload(
    upload: ImageUpload,
    options: { signal?: AbortSignal; onProgress?: (arrived: number, total: number) => void } = {},
  ): Promise<UploadResult> {
    this.laptops += 1;
    return await uploadImage(this.connection, upload, {
      indexes: new ChunkIndexCache(join(this.directory, `chunks-${this.laptops}`)),
      limit: noLimit,
      signal: new AbortController().signal,
      onProgress: () => undefined,
      note: (text) => this.notes.push(text),
      ...options,
    });
  }

  async names(): Promise<string[]> {
    return (await readdir(this.layout.images)).sort();
  }
}

async function cutOff(lab: Lab, upload: ImageUpload, atBytes: number): Promise<void> {
  const stop = new AbortController();
  const onProgress = (arrived: number) => {
    if (arrived >= atBytes) stop.abort();
  };
  await expect(lab.upload(upload, { signal: stop.signal, onProgress })).rejects.toThrow();
}

describe('uploadImage', () => {
  it('puts an image, what is known of it and its chunks there, and nothing else', async () => {
    const lab = await Lab.make();
    const bytes = randomBytes(20_000_000);
    const upload = await lab.prepare(bytes);
    expect(await lab.upload(upload)).toEqual({ uploaded: true, sentBytes: bytes.length });
    expect((await readFile(upload.path)).equals(bytes)).toBe(true);
    const { sha256 } = upload;
    expect(await lab.names()).toEqual([`${sha256}.chunks`, `${sha256}.json`, `${sha256}.sif`]);
    expect(JSON.parse(await readFile(join(lab.layout.images, `${sha256}.json`), 'utf8'))).toMatchObject({
      name: 'an image',
      sizeBytes: bytes.length,
    });
  });

  it('sends nothing that is there, and asks once', async () => {
    const lab = await Lab.make();
    const upload = await lab.prepare(randomBytes(1000));
    await lab.upload(upload);
    lab.connection.scripts = 0;
    expect(await lab.upload(upload)).toEqual({ uploaded: false, sentBytes: 0 });
    expect(lab.connection.scripts).toBe(1);
  });

  it('makes any image of any others that are there, byte for byte', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat(6), { minLength: 1, maxLength: 12 }), { minLength: 2, maxLength: 4 }),
        async (images) => {
          const lab = await Lab.make();
          for (const parts of images) {
            const bytes = Buffer.concat(parts.map(partOf));
            const upload = await lab.prepare(bytes);
            await lab.upload(upload);
            expect((await readFile(upload.path)).equals(bytes)).toBe(true);
          }
          expect((await lab.names()).filter((name) => name.startsWith('.'))).toEqual([]);
        },
      ),
      { numRuns: 8 },
    );
  });

  it('goes on where it was cut off, and sends no more than was under way', async () => {
    const lab = await Lab.make();
    const bytes = randomBytes(14 * blockBytes + 12_345);
    const upload = await lab.prepare(bytes);
    await cutOff(lab, upload, 9 * blockBytes);
    expect((await lab.names()).filter((name) => !name.startsWith('.'))).toEqual([]);
    const { sentBytes } = await lab.upload(upload);
    expect(sentBytes).toBeLessThanOrEqual(5 * blockBytes + 12_345 + 6 * blockBytes);
    expect((await readFile(upload.path)).equals(bytes)).toBe(true);
    expect((await lab.names()).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('goes on with a difference that was cut off', async () => {
    const lab = await Lab.make();
    const base = randomBytes(6 << 20);
    await lab.upload(await lab.prepare(base));
    const bytes = Buffer.concat([base.subarray(0, 3 << 20), randomBytes(5 * blockBytes), base.subarray(3 << 20)]);
    const upload = await lab.prepare(bytes);
    await cutOff(lab, upload, 4 * blockBytes);
    const { sentBytes } = await lab.upload(upload);
    expect(sentBytes).toBeLessThan(5 * blockBytes + 600_000);
    expect((await readFile(upload.path)).equals(bytes)).toBe(true);
  });

  it('works with a dd that knows no blocks', async () => {
    const tools = await makeTemporaryDirectory();
    await writeFile(join(tools, 'dd'), '#!/bin/sh\necho "dd: unrecognized operand" >&2\nexit 1\n');
    await chmod(join(tools, 'dd'), 0o755);
    const lab = await Lab.make(new ShellConnection({ env: { PATH: `${tools}:${process.env.PATH ?? ''}` } }));
    const base = randomBytes(3 * blockBytes);
    const upload = await lab.prepare(base);
    await cutOff(lab, upload, 2 * blockBytes);
    const { sentBytes } = await lab.upload(upload);
    expect(sentBytes).toBeLessThan(base.length);
    expect((await readFile(upload.path)).equals(base)).toBe(true);
    const changed = Buffer.concat([base.subarray(0, 5_000_000), Buffer.from('more'), base.subarray(5_000_000)]);
    const second = await lab.prepare(changed);
    expect((await lab.upload(second)).sentBytes).toBeLessThan(1_000_000);
    expect((await readFile(second.path)).equals(changed)).toBe(true);
  });

  it('does not trust an image that was damaged there', async () => {
    const lab = await Lab.make();
    const base = randomBytes(4 << 20);
    const first = await lab.prepare(base);
    await lab.upload(first);
    await chmod(first.path, 0o600);
    await writeFile(first.path, flip(base, 2_000_000));
    const bytes = Buffer.concat([base, randomBytes(1 << 20)]);
    const upload = await lab.prepare(bytes);
    expect(await lab.upload(upload)).toMatchObject({ uploaded: true });
    expect((await readFile(upload.path)).equals(bytes)).toBe(true);
    expect(lab.notes).toEqual([expect.stringContaining(first.sha256.slice(0, 12))]);
    // It is out of the way: a job that wants it is refused, the next submission sends it anew.
    expect(await lab.names()).toContain(`.damaged-${first.sha256}.sif`);
    expect(await lab.upload(first)).toMatchObject({ uploaded: true });
    expect((await readFile(first.path)).equals(base)).toBe(true);
  });

  it('passes over a chunk index that was damaged', async () => {
    const lab = await Lab.make();
    const base = randomBytes(4 << 20);
    const first = await lab.prepare(base);
    await lab.upload(first);
    const index = lab.layout.chunkIndex(first.sha256);
    await chmod(index, 0o600);
    await writeFile(index, flip(await readFile(index), 1500));
    const upload = await lab.prepare(Buffer.concat([base, randomBytes(1 << 20)]));
    expect(await lab.upload(upload)).toEqual({ uploaded: true, sentBytes: upload.sizeBytes });
  });

  it('starts anew where what had arrived is no longer right', async () => {
    const lab = await Lab.make();
    const bytes = randomBytes(10 * blockBytes);
    const upload = await lab.prepare(bytes);
    await cutOff(lab, upload, 8 * blockBytes);
    const [incoming = ''] = (await lab.names()).filter((name) => name.startsWith('.incoming'));
    const data = join(lab.layout.images, incoming, 'data');
    await writeFile(data, Buffer.alloc((await readFile(data)).length));
    expect(await lab.upload(upload)).toMatchObject({ uploaded: true });
    expect((await readFile(upload.path)).equals(bytes)).toBe(true);
  });

  it('lets two send the same image at once, of which one waits', async () => {
    const lab = await Lab.make();
    const bytes = randomBytes(6 * blockBytes);
    const upload = await lab.prepare(bytes);
    const results = await Promise.all([lab.upload(upload), lab.upload(upload)]);
    expect(results.reduce((sum, { sentBytes }) => sum + sentBytes, 0)).toBe(bytes.length);
    expect((await readFile(upload.path)).equals(bytes)).toBe(true);
  });

  it('sends an overlay whole', async () => {
    const lab = await Lab.make();
    const bytes = randomBytes(100_000);
    await lab.upload(await lab.prepare(bytes));
    const overlay = await lab.prepare(Buffer.concat([bytes, Buffer.from('x')]), false);
    expect(await lab.upload(overlay)).toEqual({ uploaded: true, sentBytes: overlay.sizeBytes });
    expect(await lab.names()).not.toContain(`${overlay.sha256}.chunks`);
  });

  it('keeps to names with blanks and quotes in the way there', async () => {
    const lab = await Lab.make();
    const layout = new RemoteLayout(join(lab.directory, `it's "a" root; $HOME`));
    await mkdir(layout.root, { recursive: true });
    const upload = { ...(await lab.prepare(randomBytes(500_000))), makeStore: renderMakeStore(layout, undefined) };
    const placed = { ...upload, path: layout.image(upload.sha256) };
    await lab.upload(placed);
    expect((await readFile(placed.path)).length).toBe(500_000);
    await rm(layout.root, { recursive: true });
  });
});

function partOf(part: number): Buffer {
  const blocks = Array.from({ length: 12_000 }, (_, index) => createHash('sha256').update(`${part} ${index}`).digest());
  return Buffer.concat(blocks);
}

function flip(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
}
