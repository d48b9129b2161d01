import { lstat, readdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findMountPoints, makeMountPoints, pathInside } from '../../src/run/local-mount-points.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

describe('pathInside', () => {
  it.each([
    ['/a', '/a', ''],
    ['/a', '/a/', ''],
    ['/a', '/a/b/c', 'b/c'],
    ['/', '/a', 'a'],
    ['/a', '/ab', undefined],
    ['/a', '/', undefined],
    ['/a', '/a/..b', '..b'],
  ])('sees from %s the path %s as %s', (parent, path, expected) => {
    expect(pathInside(parent, path)).toBe(expected);
  });
});

describe('findMountPoints', () => {
  it('finds those in a directory, and not those in another one of them', () => {
    const targets = ['/', '/workspace', '/workspace/a/b', '/workspace/a/b/c', '/workspace/d', '/workspaces', '/tmp/x'];
    const mounts = targets.map((target) => ({ source: `/s${target}`, target, readonly: false }));
    const found = (target: string) => findMountPoints(mounts, target).map(({ path }) => path);
    expect(found('/workspace')).toEqual(['a/b', 'd']);
    expect(found('/workspace/a/b')).toEqual(['c']);
    expect(found('/tmp')).toEqual(['x']);
    expect(found('/var/tmp')).toEqual([]);
  });
});

describe('makeMountPoints', () => {
  it('makes what is missing, as what is mounted there', async () => {
    const root = await makeTemporaryDirectory();
    await writeTree(root, { 'work/file': 'content', 'outside/a': '' });
    await symlink('../outside', join(root, 'work', 'link'));
    const directory = join(root, 'work');
    const paths: [string, string][] = [
      ...([
        ['data/deep', root],
        ['table/new.csv', '/etc/passwd'],
        ['own', join(directory, 'own')],
      ] as [string, string][]),
      ...([
        ['file', '/etc/passwd'],
        ['file/below', root],
        ['link/below', root],
      ] as [string, string][]),
    ];
    const points = paths.map(([path, source]) => ({ path, source }));
    await makeMountPoints(directory, points, undefined);
    const isDirectory = async (path: string) => (await lstat(join(directory, path))).isDirectory();
    expect([await isDirectory('data/deep'), await isDirectory('table/new.csv'), await isDirectory('own')]).toEqual([
      ...[true, false, true],
    ]);
    expect(await readFile(join(directory, 'file'), 'utf8')).toBe('content');
    expect(await readdir(join(root, 'outside'))).toEqual(['a']);
  });
});
