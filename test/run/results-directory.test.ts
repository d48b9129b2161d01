import { lstat, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { prepareResultsParent } from '../../src/run/results-directory.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

describe('prepareResultsParent', () => {
  it('keeps git away from results, once', async () => {
    const root = await makeTemporaryDirectory();
    const directory = join(root, 'hpcrun-results', 'run');
    await prepareResultsParent(directory);
    await prepareResultsParent(directory);
    expect(await readFile(join(root, 'hpcrun-results', '.gitignore'), 'utf8')).toBe('*\n');
  });

  it('makes it for whoever has called sudo, and changes nothing that was there', async (context) => {
    if (process.getuid?.() !== 0) return context.skip('only root can make files for somebody else');
    const root = await makeTemporaryDirectory();
    await mkdir(join(root, 'there'));
    await prepareResultsParent(join(root, 'there', 'new', 'hpcrun-results', 'run'), { uid: 1234, gid: 100 });
    const ownerOf = async (...names: string[]) => (await lstat(join(root, 'there', ...names))).uid;
    const made = ['new', 'new/hpcrun-results', 'new/hpcrun-results/.gitignore'];
    expect(await Promise.all(made.map((path) => ownerOf(path)))).toEqual([1234, 1234, 1234]);
    expect(await ownerOf()).toBe(0);
  });
});
