import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, truncate, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RootfsSurveyor } from '../../src/image/rootfs-survey.js';
import { SifCache, type CachedPart, type Recipe } from '../../src/image/sif-cache.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const makeCache = async () => {
  const directory = join(await makeTemporaryDirectory(), 'sif');
  return { directory, cache: new SifCache(directory) };
};

const gzip: Recipe = { compression: 'gzip', permissions: 'open' };
const zstd: Recipe = { compression: 'zstd', permissions: 'open' };
const whole = { overlays: false };
const keyOf = (imageId: string) => ({ imageId, architecture: 'amd64' });

interface Wanted {
  recipe?: Recipe;
  layers?: string[];
  below?: CachedPart[];
}

const store = async (cache: SifCache, imageId: string, text: string, wanted: Wanted = {}) => {
  const { recipe = gzip, layers = [], below = [] } = wanted;
  const temporary = await cache.temporaryPath();
  await writeFile(temporary, text);
  const sha256 = createHash('sha256').update(text).digest('hex');
  const survey = new RootfsSurveyor([]).survey();
  const image = {
    ...keyOf(imageId),
    name: `named ${imageId}`,
    ...recipe,
    layers,
    directories: [],
    survey,
    overlayBytes: 0,
  };
  return await cache.store(image, below, { sha256, sizeBytes: text.length, temporary });
};

/** Makes an image one that was used so long ago. */
const age = async (directory: string, imageId: string, hours: number) => {
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (!name.endsWith('.json') || !(await readFile(path, 'utf8')).includes(`"${imageId}"`)) continue;
    const then = Date.now() / 1000 - hours * 3600;
    await utimes(path, then, then);
  }
};

const pathOf = ({ parts }: { parts: CachedPart[] }) => parts.at(-1)?.path ?? '';

describe('SifCache', () => {
  it('finds nothing before there is a directory', async () => {
    const { cache } = await makeCache();
    expect(await cache.find(keyOf('sha256:a'), gzip, whole)).toBeUndefined();
    expect(await cache.list()).toEqual([]);
    expect(await cache.loadListing('sha256:a')).toBeUndefined();
  });

  it('finds what was stored, by image and permissions', async () => {
    const { cache, directory } = await makeCache();
    const stored = await store(cache, 'sha256:a', 'image a');
    expect(await cache.find(keyOf('sha256:a'), gzip, whole)).toEqual(stored);
    expect(await readFile(pathOf(stored), 'utf8')).toBe('image a');
    expect(await cache.find(keyOf('sha256:a'), { ...gzip, permissions: 'keep' }, whole)).toBeUndefined();
    expect(await cache.find(keyOf('sha256:b'), gzip, whole)).toBeUndefined();
    expect((await readdir(directory)).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it('takes gzip, which all clusters read, where zstd is asked for, but not the reverse', async () => {
    const { cache } = await makeCache();
    const inGzip = await store(cache, 'sha256:a', 'a in gzip');
    expect(await cache.find(keyOf('sha256:a'), zstd, whole)).toEqual(inGzip);
    const inZstd = await store(cache, 'sha256:a', 'a in zstd', { recipe: zstd });
    expect(await cache.find(keyOf('sha256:a'), zstd, whole)).toEqual(inZstd);
    await store(cache, 'sha256:b', 'b in zstd', { recipe: zstd });
    expect(await cache.find(keyOf('sha256:b'), gzip, whole)).toBeUndefined();
  });

  it('finds a stack only where overlays can be mounted', async () => {
    const { cache } = await makeCache();
    const base = await store(cache, 'sha256:a', 'base');
    const stack = await store(cache, 'sha256:b', 'overlay', { below: base.parts });
    expect(stack.parts.map(({ path }) => path.replace(/.*\./, ''))).toEqual(['sif', 'sqfs']);
    expect(await cache.find(keyOf('sha256:b'), gzip, { overlays: true })).toEqual(stack);
    expect(await cache.find(keyOf('sha256:b'), gzip, whole)).toBeUndefined();
    expect(await cache.bottom(stack)).toMatchObject({ imageId: 'sha256:a' });
  });

  it('finds the image that shares the most layers from the lowest up', async () => {
    const { cache } = await makeCache();
    await store(cache, 'sha256:a', 'a', { layers: ['1', '2', '3'] });
    await store(cache, 'sha256:b', 'b', { layers: ['1', '2', '4', '5'] });
    await store(cache, 'sha256:c', 'c', { layers: ['9', '2', '4', '6'] });
    expect(await cache.closest({ layers: ['1', '2', '4', '6'], architecture: 'amd64' }, gzip)).toMatchObject({
      imageId: 'sha256:b',
    });
    expect(
      await cache.closest({ layers: ['1', '2', '4', '6'], architecture: 'amd64' }, { ...gzip, permissions: 'keep' }),
    ).toBeUndefined();
    expect(await cache.closest({ layers: ['7'], architecture: 'amd64' }, gzip)).toBeUndefined();
  });

  it('puts nothing in gzip on a base in zstd, and nothing on another architecture', async () => {
    const { cache } = await makeCache();
    await store(cache, 'sha256:a', 'a', { layers: ['1'], recipe: zstd });
    expect(await cache.closest({ layers: ['1'], architecture: 'amd64' }, gzip)).toBeUndefined();
    expect(await cache.closest({ layers: ['1'], architecture: 'arm64' }, zstd)).toBeUndefined();
    expect(await cache.closest({ layers: ['1'], architecture: 'amd64' }, zstd)).toMatchObject({ imageId: 'sha256:a' });
    await store(cache, 'sha256:b', 'b', { layers: ['2'] });
    expect(await cache.closest({ layers: ['2'], architecture: 'amd64' }, zstd)).toMatchObject({ imageId: 'sha256:b' });
  });

  it('keeps one file for two images with the same bytes', async () => {
    const { cache } = await makeCache();
    const [one, two] = [await store(cache, 'sha256:a', 'same'), await store(cache, 'sha256:b', 'same')];
    expect(pathOf(one)).toBe(pathOf(two));
  });

  it('does not find an image of which a file was cut short', async () => {
    const { cache } = await makeCache();
    const base = await store(cache, 'sha256:a', 'image a');
    await store(cache, 'sha256:b', 'overlay', { below: base.parts });
    await truncate(pathOf(base), 3);
    expect(await cache.find(keyOf('sha256:a'), gzip, whole)).toBeUndefined();
    expect(await cache.find(keyOf('sha256:b'), gzip, { overlays: true })).toBeUndefined();
  });

  it.each(['', '{', '[]', '{"parts":[{"sha256":"../../etc/passwd","sizeBytes":1}]}'])(
    'passes over the broken entry %j',
    async (text) => {
      const { cache, directory } = await makeCache();
      await store(cache, 'sha256:a', 'image a');
      const [entry = ''] = (await readdir(directory)).filter((name) => name.endsWith('.json'));
      await writeFile(join(directory, entry), text);
      expect(await cache.find(keyOf('sha256:a'), gzip, whole)).toBeUndefined();
      expect(await cache.list()).toEqual([]);
    },
  );

  it('keeps listings, and takes one that was cut short for none', async () => {
    const { cache, directory } = await makeCache();
    const listing = Buffer.from('d 755 \0/\0\0'.repeat(1000), 'latin1');
    await cache.saveListing('sha256:a', listing);
    expect(await cache.loadListing('sha256:a')).toEqual(listing);
    const [name = ''] = await readdir(directory);
    await truncate(join(directory, name), 20);
    expect(await cache.loadListing('sha256:a')).toBeUndefined();
  });

  it('gives new temporary names, and removes those that were left behind days ago', async () => {
    const { cache, directory } = await makeCache();
    const old = await cache.temporaryPath();
    const recent = await cache.temporaryPath();
    expect(old).not.toBe(recent);
    expect(dirname(old)).toBe(directory);
    await writeFile(old, '');
    await writeFile(recent, '');
    const longAgo = Date.now() / 1000 - 2 * 24 * 60 * 60;
    await utimes(old, longAgo, longAgo);
    const stored = await store(cache, 'sha256:a', 'kept');
    const names = (await readdir(directory)).map((name) => join(directory, name));
    expect(names).toContain(recent);
    expect(names).toContain(pathOf(stored));
    expect(names).not.toContain(old);
  });
});

describe('SifCache: making room', () => {
  it('removes what was used longest ago until the rest fits, but nothing of the last hour', async () => {
    const { cache, directory } = await makeCache();
    const stored = [];
    for (const [id, hours] of [
      ['a', 5],
      ['b', 3],
      ['c', 2],
      ['d', 0],
    ] as const) {
      stored.push(await store(cache, `sha256:${id}`, id.repeat(100)));
      await cache.saveListing(`sha256:${id}`, Buffer.from(id));
      await age(directory, `sha256:${id}`, hours);
    }
    const dry = await cache.trim(250, { dryRun: true });
    expect(dry.images.map(({ imageId }) => imageId)).toEqual(['sha256:b', 'sha256:a']);
    expect(stored.every((image) => existsSync(pathOf(image)))).toBe(true);
    expect(await cache.trim(250)).toEqual(dry);
    expect(dry.bytes).toBe(200);
    expect(stored.map((image) => existsSync(pathOf(image)))).toEqual([false, false, true, true]);
    expect(await cache.loadListing('sha256:a')).toBeUndefined();
    expect((await cache.trim(0)).images.map(({ imageId }) => imageId)).toEqual(['sha256:c']);
    expect(await cache.find(keyOf('sha256:d'), gzip, whole)).toBeDefined();
  });

  it('removes what no image needs, unless it has just come', async () => {
    const { cache, directory } = await makeCache();
    await store(cache, 'sha256:a', 'kept');
    const [old, recent] = ['0'.repeat(64), '1'.repeat(64)].map((name) => join(directory, `${name}.sif`));
    for (const path of [old, recent]) await writeFile(path ?? '', 'x');
    const longAgo = Date.now() / 1000 - 2 * 3600;
    await utimes(old ?? '', longAgo, longAgo);
    await cache.trim(1e9);
    expect([old, recent].map((path) => existsSync(path ?? ''))).toEqual([false, true]);
    expect(await cache.find(keyOf('sha256:a'), gzip, whole)).toBeDefined();
  });

  it('keeps the base of a stack that stays', async () => {
    const { cache, directory } = await makeCache();
    const base = await store(cache, 'sha256:a', 'base');
    const stack = await store(cache, 'sha256:b', 'overlay', { below: base.parts });
    await age(directory, 'sha256:a', 50);
    const { images, bytes } = await cache.trim(0, { olderThan: new Date(Date.now() - 3_600_000) });
    expect(images.map(({ imageId }) => imageId)).toEqual(['sha256:a']);
    expect(bytes).toBe(0);
    expect(await cache.find(keyOf('sha256:b'), gzip, { overlays: true })).toEqual(stack);
    await cache.trim(0, { olderThan: new Date(Date.now() + 1000) });
    expect((await readdir(directory)).filter((name) => !name.startsWith('.'))).toEqual([]);
  });
});
