import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadProject, requireProject } from '../../src/config/project.js';
import { failureOf } from '../support/failure.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree, type TreeEntry } from '../support/write-tree.js';

const findFrom = async (tree: Record<string, TreeEntry>, from: string) => {
  const root = await makeTemporaryDirectory();
  await writeTree(root, tree);
  await mkdir(join(root, from), { recursive: true });
  const project = await loadProject(join(root, from));
  return project?.directory.replace(root, '.');
};

describe('loadProject', () => {
  it.each<[string, Record<string, TreeEntry>, string, string]>([
    ['hpcrun.yaml here', { 'p/hpcrun.yaml': '' }, 'p', './p'],
    ['a Dockerfile here', { 'p/Dockerfile': '' }, 'p', './p'],
    ['hpcrun.yaml above', { 'p/hpcrun.yaml': '', 'p/Dockerfile': '' }, 'p/a/b', './p'],
    ['the nearest of two Dockerfiles', { 'p/Dockerfile': '', 'p/a/Dockerfile': '' }, 'p/a/b', './p/a'],
    ['the nearest of two hpcrun.yaml', { 'p/hpcrun.yaml': '', 'p/a/hpcrun.yaml': '' }, 'p/a/b', './p/a'],
    ['hpcrun.yaml above rather than a Dockerfile here', { 'p/hpcrun.yaml': '', 'p/a/Dockerfile': '' }, 'p/a', './p'],
  ])('finds %s', async (_, tree, from, expected) => {
    expect(await findFrom(tree, from)).toBe(expected);
  });

  it('reads the configuration, and takes the defaults where there is none', async () => {
    const root = await makeTemporaryDirectory();
    await writeTree(root, { 'a/hpcrun.yaml': 'name: digits\n', 'b/Dockerfile': '' });
    expect((await loadProject(join(root, 'a')))?.config).toMatchObject({ name: 'digits', mount: '/workspace' });
    const plain = (await loadProject(join(root, 'b')))?.config;
    expect(plain).toMatchObject({ mount: '/workspace' });
    expect(plain?.name).toBeUndefined();
  });

  it('reports a broken configuration, not a missing project', async () => {
    const root = await makeTemporaryDirectory();
    await writeTree(root, { 'hpcrun.yaml': 'name: [\n', Dockerfile: '' });
    expect((await failureOf(() => loadProject(root))).code).toBe('CONFIG_INVALID');
  });
});

describe('requireProject', () => {
  it('is loadProject where there is a project', async () => {
    const root = await makeTemporaryDirectory();
    await writeTree(root, { Dockerfile: '' });
    expect(await requireProject(root)).toEqual(await loadProject(root));
  });

  it('fails where there is none', async () => {
    const root = await makeTemporaryDirectory();
    const error = await failureOf(() => requireProject(root));
    expect(error.code).toBe('PROJECT_NOT_FOUND');
    expect(error.message).toContain(root);
  });
});
