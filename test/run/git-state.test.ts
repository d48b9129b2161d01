import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGitState } from '../../src/run/git-state.js';
import { git } from '../support/git.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

describe('readGitState', () => {
  it('knows the commit and whether the project has changed since', async () => {
    const repository = await makeTemporaryDirectory();
    const project = join(repository, 'project');
    await mkdir(project);
    git(repository, 'init', '-q');
    expect(await readGitState(project)).toBeNull();
    await writeFile(join(project, 'train.py'), '');
    git(repository, 'add', '.');
    git(repository, 'commit', '-q', '-m', 'Begin');
    const commit = git(repository, 'rev-parse', 'HEAD').trim();
    expect(await readGitState(project)).toEqual({ commit, branch: 'main', isDirty: false });
    await writeFile(join(repository, 'beside the project'), '');
    expect(await readGitState(project)).toEqual({ commit, branch: 'main', isDirty: false });
    await writeFile(join(project, 'new.py'), '');
    expect(await readGitState(project)).toEqual({ commit, branch: 'main', isDirty: true });
    git(repository, 'checkout', '-q', '--detach');
    expect(await readGitState(project)).toEqual({ commit, isDirty: true });
  });

  it('is null outside of git', async () => {
    expect(await readGitState(await makeTemporaryDirectory())).toBeNull();
  });
});
