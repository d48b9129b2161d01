import { execa } from 'execa';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCachedCode } from '../../src/cli/code-cache.js';
import { packageDirectory } from '../../src/package-directory.js';

describe('starting hpcrun', () => {
  let home: string;
  const code = () => join(home, 'hpcrun', 'code');
  const hpcrun = (...args: string[]) =>
    execa('node', [join(packageDirectory(), 'bin', 'hpcrun.js'), ...args], {
      env: { XDG_CACHE_HOME: home },
      reject: false,
    });
  const onlyFile = async () => {
    const names = await readdir(code());
    expect(names).toHaveLength(1);
    return join(code(), names[0] ?? '');
  };

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'hpcrun-start-'));
  });

  afterAll(async () => {
    await rm(home, { recursive: true });
  });

  it('keeps what V8 made of the program for the next command, and adds to it', async () => {
    const first = await hpcrun('help');
    expect(first).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await readCachedCode(await onlyFile())).toMatchObject({ commands: ['help'] });
    const before = await readFile(await onlyFile());
    expect((await hpcrun('help')).stdout).toBe(first.stdout);
    // It was good enough: nothing was written.
    expect(await readFile(await onlyFile())).toEqual(before);
    expect((await hpcrun('images', '--local')).exitCode).toBe(0);
    expect(await readCachedCode(await onlyFile())).toMatchObject({ commands: ['help', 'images'] });
  });

  it('does without one that is damaged, and makes another', async () => {
    const path = await onlyFile();
    const content = await readFile(path);
    content.fill(0x55, content.length >> 1);
    await writeFile(path, content);
    expect(await hpcrun('help')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await readCachedCode(path)).toMatchObject({ commands: ['help'] });
  });

  it('works where nothing can be kept', async () => {
    await rm(code(), { recursive: true });
    await writeFile(code(), 'a file in its place');
    expect(await hpcrun('help')).toMatchObject({ exitCode: 0, stderr: '' });
  });
});
