import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { selectFiles } from '../../src/cluster/select-files.js';
import { readChanges } from '../../src/run/changes.js';
import { git } from '../support/git.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

const makeRepository = async (files: Record<string, string>) => {
  const repository = await makeTemporaryDirectory();
  await writeTree(repository, files);
  git(repository, 'init', '-q');
  git(repository, 'add', '.');
  git(repository, 'commit', '-q', '-m', 'Begin');
  return repository;
};

const changesOf = async (directory: string) => readChanges({ directory, files: await selectFiles(directory) });

describe('readChanges', () => {
  it('makes a patch that turns the commit into the project, binary files included', async () => {
    const repository = await makeRepository({
      'a.py': 'old\n',
      'gone.py': 'gone\n',
      'data.bin': 'a\0b',
      'same.py': '',
    });
    const binary = Buffer.from([0, 255, 1, 2, 3, 128]);
    await writeFile(join(repository, 'a.py'), 'new\n');
    await writeFile(join(repository, 'data.bin'), binary);
    await rm(join(repository, 'gone.py'));
    git(repository, 'add', 'a.py');
    const patch = await changesOf(repository);
    const clone = await makeTemporaryDirectory();
    git(repository, 'clone', '-q', repository, clone);
    await writeFile(join(clone, 'changes.patch'), patch);
    git(clone, 'apply', 'changes.patch');
    await rm(join(clone, 'changes.patch'));
    const contents = git(clone, 'diff', '--binary');
    expect(contents).toBe(git(repository, 'diff', 'HEAD', '--binary'));
    expect(contents).not.toBe('');
  });

  it('names new files, and holds nothing that is ignored, staged or not', async () => {
    const repository = await makeRepository({
      '.gitignore': '.env\n',
      '.hpcrunignore': 'private*\n',
      'private.py': 'old\n',
      'project/a.py': '',
    });
    await writeTree(repository, {
      '.env': 'SECRET',
      'private.py': 'SECRET\n',
      'private new': 'SECRET',
      'new.py': 'content is in the snapshot',
      'odd\n# name': '',
    });
    git(repository, 'add', 'private.py');
    expect((await changesOf(repository)).toString()).toBe(
      '# What the project had on top of its commit when it was submitted.\n' +
        '# Files that git does not track:\n#   "new.py"\n#   "odd\\n# name"\n',
    );
  });

  it('is about the project, not about the repository around it', async () => {
    const repository = await makeRepository({ 'beside.py': 'old\n', 'project/a.py': 'old\n' });
    await writeTree(repository, { 'beside.py': 'new beside\n', 'project/a.py': 'new\n', 'beside new': '' });
    const patch = (await changesOf(join(repository, 'project'))).toString();
    expect(patch).toContain('+++ b/a.py\n');
    expect(patch).not.toContain('beside');
  });

  it('is cut off after 1 MB, and says so', async () => {
    const repository = await makeRepository({ 'large.txt': '' });
    await writeFile(join(repository, 'large.txt'), 'line\n'.repeat(400_000));
    const patch = await changesOf(repository);
    expect(patch.toString()).toContain('# The patch is cut off after 1000000 bytes.\n');
    expect(patch.length).toBeLessThan(1_001_000);
    expect(patch.length).toBeGreaterThan(999_000);
  });
});
