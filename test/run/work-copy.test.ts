import { chmod, lstat, mkdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { takeSnapshot } from '../../src/cluster/snapshot.js';
import type { MountPoint } from '../../src/run/local-mount-points.js';
import { keepResults, makeWorkCopy, removeTree, type WorkCopy } from '../../src/run/work-copy.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

async function makeCopy(mountPoints: MountPoint[] = []): Promise<WorkCopy> {
  const root = await makeTemporaryDirectory();
  await writeTree(root, {
    'project/.hpcrunignore': 'ignored\n',
    'project/ignored': 'not sent',
    'project/train.py': 'print()',
    'project/run': { executable: '' },
    'project/data/a.csv': '1,2',
    'project/data/b.csv': '3,4',
  });
  await symlink('data/a.csv', join(root, 'project', 'link'));
  await mkdir(join(root, 'project', 'empty'));
  const snapshot = await takeSnapshot(join(root, 'project'));
  return await makeWorkCopy(snapshot, join(root, 'work'), { mountPoints, owner: undefined });
}

const keep = (copy: WorkCopy, exclude: string[] = []) =>
  keepResults(copy, { exclude, mount: '/workspace', owner: undefined });

const isThere = (path: string) =>
  lstat(path).then(
    () => true,
    () => false,
  );

describe('makeWorkCopy', () => {
  it('holds what is sent, and nothing else', async () => {
    const { directory } = await makeCopy();
    const modeOf = async (name: string) => (await lstat(join(directory, name))).mode & 0o777;
    expect(await isThere(join(directory, 'ignored'))).toBe(false);
    expect(await readFile(join(directory, 'data', 'a.csv'), 'utf8')).toBe('1,2');
    expect(await readlink(join(directory, 'link'))).toBe('data/a.csv');
    expect((await lstat(join(directory, 'empty'))).isDirectory()).toBe(true);
    expect([await modeOf('train.py'), await modeOf('run')]).toEqual([0o644, 0o755]);
  });
});

describe('keepResults', () => {
  it('leaves nothing of a run that has changed nothing', async () => {
    const copy = await makeCopy();
    await mkdir(join(copy.directory, 'new', 'deep'), { recursive: true });
    expect(await keep(copy)).toEqual({ files: 0, bytes: 0, refused: [] });
    expect(await isThere(copy.directory)).toBe(false);
  });

  it('takes no mount point for a result', async () => {
    const paths = ['new.csv', 'deep/er/new.csv', 'data/a.csv', 'link'];
    const copy = await makeCopy(paths.map((path) => ({ path, source: '/etc/passwd' })));
    expect(await isThere(join(copy.directory, 'deep', 'er', 'new.csv'))).toBe(true);
    expect(await keep(copy)).toMatchObject({ files: 0 });
  });

  it('keeps what is new, changed or renamed', async () => {
    const copy = await makeCopy();
    const at = (...names: string[]) => join(copy.directory, ...names);
    await mkdir(at('out'));
    await writeFile(at('out', 'model.pt'), 'model');
    await writeFile(at('train.py'), 'other');
    await rename(at('data', 'b.csv'), at('data', 'c.csv'));
    await rm(at('run'));
    await writeFile(at('noise.tmp'), '');
    expect(await keep(copy, ['*.tmp'])).toEqual({ files: 3, bytes: 13, refused: [] });
    const present = ['out/model.pt', 'train.py', 'data/c.csv', 'data/a.csv', 'link', 'empty', 'noise.tmp'];
    expect(await Promise.all(present.map((name) => isThere(at(name))))).toEqual([
      ...[true, true, true],
      ...[false, false, false, false],
    ]);
  });

  it('makes links into the mount work here and keeps none that leads out', async () => {
    const copy = await makeCopy();
    const at = (name: string) => join(copy.directory, name);
    await mkdir(at('out'));
    await writeFile(at('out/a'), '');
    await symlink('/workspace/out/a', at('out/latest'));
    await symlink('/etc/passwd', at('out/secret'));
    await symlink('../../project', at('out/up'));
    expect(await keep(copy)).toMatchObject({ files: 2, refused: ['out/secret', 'out/up'] });
    expect(await readlink(at('out/latest'))).toBe('a');
  });

  it('opens directories that the run has closed', async () => {
    const copy = await makeCopy();
    await mkdir(join(copy.directory, 'closed'));
    await writeFile(join(copy.directory, 'closed', 'a'), '');
    await chmod(join(copy.directory, 'closed'), 0);
    expect(await keep(copy)).toMatchObject({ files: 1 });
  });
});

describe('removeTree', () => {
  it('removes what has been closed, and is content with nothing', async () => {
    const root = await makeTemporaryDirectory();
    await mkdir(join(root, 'tree', 'closed', 'deep'), { recursive: true });
    await chmod(join(root, 'tree', 'closed'), 0);
    await removeTree(join(root, 'tree'));
    await removeTree(join(root, 'tree'));
    expect(await isThere(join(root, 'tree'))).toBe(false);
  });
});
