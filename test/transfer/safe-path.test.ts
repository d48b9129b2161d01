import { mkdir, readdir, realpath, symlink, writeFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromMount, isLinkInside, splitRemotePath, TargetDirectory } from '../../src/transfer/safe-path.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const piece = fc.oneof(
  fc.constantFrom('.', '..', '/', '//', '', ' ', '\\', '\0', '\n', '~', '...', 'a', 'b c'),
  fc.string({ unit: 'binary', maxLength: 5 }),
);
const anyPath = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));
const isBelow = (root: string, path: string) => {
  const way = relative(root, path);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`);
};

describe('splitRemotePath', () => {
  it.each([
    ['a', ['a']],
    ['a/b c/d\ne', ['a', 'b c', 'd\ne']],
    ['...', ['...']],
    ['.hidden/..x/y..', ['.hidden', '..x', 'y..']],
    [' ', [' ']],
  ])('splits %j', (path, parts) => {
    expect(splitRemotePath(path)).toEqual(parts);
  });

  it.each(['', '/', '/a', 'a/', 'a//b', '.', './a', 'a/.', '..', '../a', 'a/../b', 'a/..', 'a\0b'])(
    'refuses %j',
    (path) => {
      expect(splitRemotePath(path)).toBeUndefined();
    },
  );

  it('takes a backslash for what it is on this machine', () => {
    expect(splitRemotePath('a\\b', '/')).toEqual(['a\\b']);
    for (const path of ['a\\b', '..\\a', 'C:x']) expect(splitRemotePath(path, '\\')).toBeUndefined();
  });

  it('gives no path that leaves the directory it is put below', () => {
    fc.assert(
      fc.property(anyPath, (path) => {
        const parts = splitRemotePath(path);
        if (parts === undefined) return;
        expect(isBelow('/some/root', join('/some/root', ...parts))).toBe(true);
        expect(parts.join('/')).toBe(path);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('isLinkInside', () => {
  it.each([
    ['latest', 'run-7'],
    ['a/latest', '../b/run'],
    ['a/b/link', '../../top'],
    ['a/link', '..'],
    ['link', '..x'],
  ])('%s → %s stays inside', (path, target) => {
    expect(isLinkInside(path, target)).toBe(true);
  });

  it.each([
    ['link', ''],
    ['link', '/etc/passwd'],
    ['link', '..'],
    ['link', '../x'],
    ['a/link', '../..'],
    ['a/link', '../../x'],
    ['a/link', 'b/../../../x'],
    ['link', 'a\\b'],
    // Where x is itself a link, what follows it starts from somewhere else.
    ['link', './x/../y'],
    ['y', 'a/x/..'],
  ])('%s → %j does not', (path, target) => {
    expect(isLinkInside(path, target)).toBe(false);
  });

  it('lets no single link lead out', () => {
    fc.assert(
      fc.property(anyPath, anyPath, (path, target) => {
        const parts = splitRemotePath(path);
        if (parts === undefined || !isLinkInside(path, target)) return;
        const end = join('/some/root', ...parts.slice(0, -1), target);
        expect(end === '/some/root' || end === '/some/root/' || isBelow('/some/root', end)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('fromMount', () => {
  it.each([
    ['latest', '/workspace/out/x', 'out/x'],
    ['a/b/latest', '/workspace/out/x', '../../out/x'],
    ['latest', 'out/x', 'out/x'],
    ['latest', '/workspaces/x', '/workspaces/x'],
    ['latest', '/workspace/../etc', '../etc'],
  ])('%s → %s becomes %s', (path, target, expected) => {
    expect(fromMount(path, target, '/workspace')).toBe(expected);
  });
});

describe('TargetDirectory', () => {
  it('makes the directories on the way, and is content with those that are there', async () => {
    const root = join(await makeTemporaryDirectory(), 'new');
    const target = new TargetDirectory(root);
    expect(target.prepare(['a', 'b', 'file'])).toBe(join(root, 'a/b/file'));
    expect(target.prepare(['a', 'b', 'other'])).toBe(join(root, 'a/b/other'));
    expect(target.prepare(['file'])).toBe(join(root, 'file'));
    expect(await realpath(join(root, 'a/b'))).toBe(join(root, 'a/b'));
    expect(new TargetDirectory(root).prepare(['a', 'c', 'file'])).toBe(join(root, 'a/c/file'));
  });

  it('goes through no link and no file', async () => {
    const root = await makeTemporaryDirectory();
    const elsewhere = await makeTemporaryDirectory();
    await symlink(elsewhere, join(root, 'link'));
    await symlink('missing', join(root, 'dangling'));
    await writeFile(join(root, 'file'), '');
    await mkdir(join(root, 'directory'));
    await symlink('../directory', join(root, 'directory/loop'));
    const target = new TargetDirectory(root);
    for (const parts of [
      ['link', 'x'],
      ['link', 'deeper', 'x'],
      ['dangling', 'x'],
      ['file', 'x'],
      ['directory', 'loop', 'x'],
    ]) {
      expect(target.prepare(parts)).toBeUndefined();
    }
    expect(target.prepare(['link'])).toBe(join(root, 'link'));
    expect(await readdir(elsewhere)).toEqual([]);
  });
});
