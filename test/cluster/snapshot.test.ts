import { chmod, mkdir, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { takeSnapshot } from '../../src/cluster/snapshot.js';
import { failureOf } from '../support/failure.js';
import { git } from '../support/git.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

const makeProject = async () => {
  const directory = await makeTemporaryDirectory();
  await writeTree(directory, {
    'train.py': 'print(1)\n',
    'sub/run.sh': { executable: '#!/bin/sh\n' },
    'sub/empty': '',
    latest: { link: 'sub/run.sh' },
  });
  await mkdir(join(directory, 'out'));
  return directory;
};

const hashOf = async (directory: string) => (await takeSnapshot(directory)).treeHash;

describe('takeSnapshot', () => {
  it('counts files and bytes', async () => {
    const snapshot = await takeSnapshot(await makeProject());
    expect(snapshot.files.map(({ path, type }) => [path, type])).toEqual([
      ['latest', 'symlink'],
      ['out', 'directory'],
      ['sub/empty', 'file'],
      ['sub/run.sh', 'file'],
      ['train.py', 'file'],
    ]);
    expect(snapshot.sizeBytes).toBe(19);
    expect(snapshot.treeHash).toMatch(/^[0-9a-f]{64}$/);
  });

  it('gives the same tree the same hash, in another place, at another time, in git or not', async () => {
    const [one, two] = [await makeProject(), await makeProject()];
    const hash = await hashOf(one);
    await utimes(join(two, 'train.py'), 1, 1);
    expect(await hashOf(two)).toBe(hash);
    // An empty directory is nothing that git knows of.
    await Promise.all([one, two].map((directory) => rm(join(directory, 'out'), { recursive: true })));
    git(two, 'init', '-q');
    expect(await hashOf(two)).toBe(await hashOf(one));
    expect(await hashOf(one)).not.toBe(hash);
  });

  it.each<[string, (directory: string) => Promise<unknown>]>([
    ['content', (directory) => writeFile(join(directory, 'train.py'), 'print(2)\n')],
    ['mode', (directory) => chmod(join(directory, 'train.py'), 0o755)],
    ['name', (directory) => rename(join(directory, 'train.py'), join(directory, 'eval.py'))],
    ['place', (directory) => rename(join(directory, 'train.py'), join(directory, 'sub/train.py'))],
    ['new file', (directory) => writeFile(join(directory, 'new'), '')],
    ['deleted file', (directory) => rm(join(directory, 'sub/empty'))],
    [
      'target of a link',
      async (directory) => {
        await rm(join(directory, 'latest'));
        await symlink('train.py', join(directory, 'latest'));
      },
    ],
    [
      'link in place of a file',
      async (directory) => {
        await rm(join(directory, 'sub/empty'));
        await symlink('run.sh', join(directory, 'sub/empty'));
      },
    ],
    [
      'file in place of an empty directory',
      async (directory) => {
        await rm(join(directory, 'out'), { recursive: true });
        await writeFile(join(directory, 'out'), '');
      },
    ],
    [
      'two contents that change places',
      async (directory) => {
        await writeFile(join(directory, 'sub/empty'), 'print(1)\n');
        await writeFile(join(directory, 'train.py'), '');
      },
    ],
  ])('gives another hash after a change of: %s', async (_, change) => {
    const directory = await makeProject();
    const before = await hashOf(directory);
    await change(directory);
    expect(await hashOf(directory)).not.toBe(before);
  });

  it('refuses more than 2 GB, and names the largest files', async () => {
    const directory = await makeProject();
    await writeTree(directory, { 'data/large.bin': '', 'data/larger.bin': '' });
    // Sparse: they take no room.
    await truncate(join(directory, 'data/large.bin'), 900e6);
    await truncate(join(directory, 'data/larger.bin'), 1.2e9);
    const error = await failureOf(() => takeSnapshot(directory));
    expect(error.code).toBe('CODE_UNSENDABLE');
    expect(error.message).toContain('the project is 2.10 GB');
    expect(error.message.indexOf('data/larger.bin')).toBeLessThan(error.message.indexOf('data/large.bin'));
  });
});
