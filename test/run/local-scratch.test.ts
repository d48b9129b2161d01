import { mkdir, readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { removeAbandoned } from '../../src/run/local-scratch.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

it('removes what was abandoned weeks ago, also while other runs do the same', async () => {
  const root = await makeTemporaryDirectory();
  for (let index = 0; index < 50; index += 1) {
    await mkdir(join(root, `old-${index}`));
    await utimes(join(root, `old-${index}`), 1, 1);
  }
  await mkdir(join(root, 'new'));
  await Promise.all([removeAbandoned(root), removeAbandoned(root), removeAbandoned(root)]);
  expect(await readdir(root)).toEqual(['new']);
});
