import { existsSync } from 'node:fs';
import { readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KnownConversions } from '../../../src/run/conversion/known-conversions.js';
import type { ApptainerWay, ConvertedFile } from '../../../src/run/conversion/way-in.js';
import { makeTemporaryDirectory } from '../../support/temporary-directory.js';

const way = (name: ApptainerWay['name'], place: ApptainerWay['place']): ApptainerWay => ({
  name,
  place,
  recipe: `${name} zstd`,
  probe: () => Promise.resolve({ possible: true, why: '' }),
  convert: () => Promise.reject(new Error('nothing is converted here')),
});
const remote = way('remote', 'cluster');
const local = way('apptainer', 'local');
const far: ConvertedFile = { place: 'cluster', isNative: false, sha256: 'ab'.repeat(32), sizeBytes: 7 };

const make = async (limitBytes = 100) => {
  const directory = await makeTemporaryDirectory();
  const fileDirectory = join(directory, 'files');
  const known = new KnownConversions({ stateDirectory: join(directory, 'state'), fileDirectory, limitBytes });
  const storeLocal = async (imageId: string, letter: string) => {
    const path = await known.temporaryPath();
    await writeFile(path, letter.repeat(40));
    return await known.store(imageId, local, {
      ...far,
      place: 'local',
      path,
      sha256: letter.repeat(64),
      sizeBytes: 40,
    });
  };
  return { known, fileDirectory, storeLocal };
};

describe('KnownConversions', () => {
  it('finds what was stored for this image and this way, and nothing else', async () => {
    const { known } = await make();
    await known.store('sha256:1', remote, far);
    expect(await known.find('sha256:1', remote)).toEqual(far);
    expect(await known.find('sha256:2', remote)).toBeUndefined();
    expect(await known.find('sha256:1', way('slurm', 'cluster'))).toBeUndefined();
    await known.forget('sha256:1', remote);
    expect(await known.find('sha256:1', remote)).toBeUndefined();
  });

  it('keeps a file that is here, until it is gone or cut short', async () => {
    const { known, storeLocal } = await make();
    const stored = await storeLocal('sha256:1', 'a');
    expect(await known.find('sha256:1', local)).toEqual(stored);
    if (stored.place !== 'local') throw new Error('it is not here');
    await truncate(stored.path, 39);
    expect(await known.find('sha256:1', local)).toBeUndefined();
    await rm(stored.path);
    expect(await known.find('sha256:1', local)).toBeUndefined();
  });

  it('drops the files used longest ago, never the newest, and what a killed conversion has left', async () => {
    const { known, fileDirectory, storeLocal } = await make();
    const old = new Date(Date.now() - 30 * 60 * 60 * 1000);
    const abandoned = await known.temporaryPath();
    await writeFile(abandoned, '');
    await utimes(abandoned, old, old);
    const first = await storeLocal('sha256:1', 'a');
    expect(existsSync(abandoned)).toBe(false);
    if (first.place === 'local') await utimes(first.path, old, old);
    await storeLocal('sha256:2', 'b');
    await storeLocal('sha256:3', 'c');
    expect((await readdir(fileDirectory)).sort()).toEqual([`${'b'.repeat(64)}.sif`, `${'c'.repeat(64)}.sif`]);
  });
});
