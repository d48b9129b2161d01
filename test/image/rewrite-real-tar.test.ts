import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, link, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openToAll, rewriteRootfs } from '../../src/image/rewrite-rootfs.js';
import { collect, inPieces } from '../support/chunks.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

/** Paths as bytes, one character each: names need not be UTF-8. */
const bytesOf = (path: string) => Buffer.from(path, 'latin1');

/** What is below a directory: for each path its kind, mode, time, content, link target and number of names. */
const describeTree = async (root: string, path = '', found: Record<string, unknown> = {}) => {
  const names = await readdir(bytesOf(join(root, path)), { encoding: 'buffer' });
  for (const name of names.map((bytes) => bytes.toString('latin1'))) {
    const inner = path === '' ? name : `${path}/${name}`;
    const full = bytesOf(`${root}/${inner}`);
    const stats = await lstat(full);
    const mode = stats.mode & 0o7777;
    const mtime = Math.floor(stats.mtimeMs / 1000);
    if (stats.isDirectory()) {
      found[inner] = { kind: 'directory', mode };
      await describeTree(root, inner, found);
    } else if (stats.isSymbolicLink()) found[inner] = { kind: 'symlink', target: await readlink(full) };
    else {
      const text = (await readFile(full)).toString('latin1');
      found[inner] = { kind: 'file', mode, mtime, text, names: stats.nlink };
    }
  }
  return found;
};

const makeRootfs = async (root: string, deep: string, linked: string) => {
  const write = async (path: string, text: string, mode = 0o644) => {
    await writeFile(bytesOf(`${root}/${path}`), text);
    await chmod(bytesOf(`${root}/${path}`), mode);
  };
  await mkdir(join(root, 'app', deep), { recursive: true });
  await mkdir(join(root, 'empty'), { mode: 0o700 });
  await write('app/empty-file', '');
  await write('app/exact', 'e'.repeat(512));
  await write('app/large', 'l'.repeat(100_001), 0o600);
  await write('app/run.sh', '#!/bin/sh\n', 0o750);
  await write(`app/${deep}/at-the-end`, 'deep');
  await write('app/caf\xe9-\xff\xfe', 'not UTF-8');
  await write('app/new\nline and blank', 'odd');
  await write('app/\xc3\xa9', 'UTF-8');
  await link(join(root, 'app', linked), join(root, 'app/hard-link'));
  await symlink(linked, join(root, 'app/soft-link'));
};

// ustar cannot hold a name of more than 255 bytes, a part of more than 100, or a link to a path of more than 100.
const longPath = [...Array.from({ length: 4 }, (_, index) => `${index}-${'d'.repeat(88)}`), 'x'.repeat(60)].join('/');
const shortPath = [`0-${'d'.repeat(60)}`, 'x'.repeat(60)].join('/');

describe.each([
  ['gnu', longPath, `${longPath}/at-the-end`],
  ['pax', longPath, `${longPath}/at-the-end`],
  ['ustar', shortPath, 'exact'],
])('rewriteRootfs of what tar writes as %s', (format, deep, linked) => {
  it('keeps the tree, with modes opened to everybody', async () => {
    const source = await makeTemporaryDirectory();
    const target = await makeTemporaryDirectory();
    await makeRootfs(source, deep, linked);
    const tar = execFileSync('tar', ['-C', source, `--format=${format}`, '-cf', '-', '.'], { maxBuffer: 64 << 20 });
    const rewritten = await collect(
      rewriteRootfs(inPieces(tar, [10_240, 333]), [], { permissions: 'open', directories: [], normalizedPaths: [] }),
    );
    const unpacked = spawnSync('tar', ['-C', target, '--no-same-owner', '-xpf', '-'], { input: rewritten });
    expect(unpacked.stderr.toString()).toBe('');

    const before = await describeTree(source);
    const after = await describeTree(target);
    const opened = Object.fromEntries(
      Object.entries(before).map(([path, entry]) => {
        const hasMode =
          typeof entry === 'object' && entry !== null && 'mode' in entry && typeof entry.mode === 'number';
        return [path, hasMode ? { ...entry, mode: openToAll(entry.mode as number) } : entry];
      }),
    );
    expect(Object.keys(before).some((path) => path.length > (format === 'ustar' ? 100 : 400))).toBe(true);
    expect(after).toMatchObject(opened);
    const added = Object.keys(after).filter((path) => !(path in before));
    expect(added.every((path) => /^(?:dev|proc|sys|home|root|etc|var|tmp)(?:\/|$)/.test(path))).toBe(true);
  });
});
