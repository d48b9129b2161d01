import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readCachedCode, writeCachedCode } from '../../src/cli/code-cache.js';

describe('the code cache', () => {
  let directory: string;
  let path: string;
  const cached = { commands: ['status', 'submit'], data: Buffer.from([0, 10, 255, 10, 7]) };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hpcrun-code-'));
    path = join(directory, 'code', 'name');
    await writeCachedCode(path, cached);
  });

  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it('comes back as it was written, and is nobody else’s', async () => {
    expect(await readCachedCode(path)).toEqual(cached);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('is not there before it is written', async () => {
    expect(await readCachedCode(join(directory, 'other'))).toBeUndefined();
  });

  it('is not taken when a bit of it has changed, or when it is cut', async () => {
    const content = await readFile(path);
    for (let at = 0; at < content.length; at += 1) {
      const damaged = Buffer.from(content);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      await writeFile(path, damaged);
      expect(await readCachedCode(path)).toBeUndefined();
      await writeFile(path, content.subarray(0, at));
      expect(await readCachedCode(path)).toBeUndefined();
    }
  });

  it('removes what nothing has written for a month, and no more', async () => {
    const [old, young] = [join(directory, 'code', 'old'), join(directory, 'code', 'young')];
    await writeFile(young, '');
    await writeFile(old, '');
    const longAgo = Date.now() / 1000 - 40 * 24 * 3600;
    await utimes(old, longAgo, longAgo);
    await writeCachedCode(path, cached);
    await expect(stat(old)).rejects.toThrow('ENOENT');
    await expect(stat(young)).resolves.toBeDefined();
  });
});
