import { createHash } from 'node:crypto';
import { readdir, readFile, truncate, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SifCache } from '../../src/image/sif-cache.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const makeCache = async () => {
  const directory = join(await makeTemporaryDirectory(), 'sif');
  return { directory, cache: new SifCache(directory) };
};

const store = async (cache: SifCache, imageId: string, text: string) => {
  const temporary = await cache.temporaryPath();
  await writeFile(temporary, text);
  const sha256 = createHash('sha256').update(text).digest('hex');
  return await cache.store(imageId, 'gzip', temporary, { sha256, sizeBytes: text.length });
};

describe('SifCache', () => {
  it('finds nothing before there is a directory', async () => {
    const { cache } = await makeCache();
    expect(await cache.find('sha256:a', 'gzip')).toBeUndefined();
  });

  it('finds what was stored, by image and compression', async () => {
    const { cache, directory } = await makeCache();
    const stored = await store(cache, 'sha256:a', 'image a');
    expect(await cache.find('sha256:a', 'gzip')).toEqual(stored);
    expect(await readFile(stored.path, 'utf8')).toBe('image a');
    expect(await cache.find('sha256:a', 'zstd')).toBeUndefined();
    expect(await cache.find('sha256:b', 'gzip')).toBeUndefined();
    expect((await readdir(directory)).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it('keeps one file for two images with the same bytes', async () => {
    const { cache } = await makeCache();
    const [one, two] = [await store(cache, 'sha256:a', 'same'), await store(cache, 'sha256:b', 'same')];
    expect(one.path).toBe(two.path);
    expect(await cache.find('sha256:a', 'gzip')).toEqual(await cache.find('sha256:b', 'gzip'));
  });

  it('does not find a file that was cut short', async () => {
    const { cache } = await makeCache();
    const { path } = await store(cache, 'sha256:a', 'image a');
    await truncate(path, 3);
    expect(await cache.find('sha256:a', 'gzip')).toBeUndefined();
  });

  it.each(['', '{', '[]', '{"sha256":"../../etc/passwd","sizeBytes":1}'])(
    'passes over the broken entry %j',
    async (text) => {
      const { cache, directory } = await makeCache();
      await store(cache, 'sha256:a', 'image a');
      const [entry = ''] = (await readdir(directory)).filter((name) => name.endsWith('.json'));
      await writeFile(join(directory, entry), text);
      expect(await cache.find('sha256:a', 'gzip')).toBeUndefined();
    },
  );

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
    expect(names).toContain(stored.path);
    expect(names).not.toContain(old);
  });
});
