import { execFileSync } from 'node:child_process';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { selectFiles } from '../../src/cluster/select-files.js';
import { failureOf } from '../support/failure.js';
import { git } from '../support/git.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree, type TreeEntry } from '../support/write-tree.js';

const oddNames = [
  'a b.py',
  'new\nline',
  '"quoted"',
  "it's",
  'ünïcode-漢字-😀',
  ' leading',
  '-dash',
  'tab\tname',
  '#x',
  '!y',
  '*',
];

const makeProject = async (tree: Record<string, TreeEntry>, withGit: boolean) => {
  const directory = await makeTemporaryDirectory();
  await writeTree(directory, tree);
  if (withGit) {
    git(directory, 'init', '-q');
    git(directory, 'add', '.');
    git(directory, 'commit', '-q', '--allow-empty', '-m', 'Begin');
  }
  return directory;
};

const pathsOf = async (directory: string) => (await selectFiles(directory)).map(({ path }) => path);

describe.each([
  ['outside of git', false],
  ['in a git work tree', true],
])('selectFiles %s', (_, withGit) => {
  it('lists files with size and mode, sorted', async () => {
    const directory = await makeProject({ 'src/b.py': 'four', 'a.py': '', 'run.sh': { executable: '#!' } }, withGit);
    expect(await selectFiles(directory)).toEqual([
      { type: 'file', path: 'a.py', sizeBytes: 0, isExecutable: false },
      { type: 'file', path: 'run.sh', sizeBytes: 2, isExecutable: true },
      { type: 'file', path: 'src/b.py', sizeBytes: 4, isExecutable: false },
    ]);
  });

  it('keeps names with blanks, newlines, quotes and any letters', async () => {
    const tree = Object.fromEntries(
      oddNames.flatMap(
        (name) =>
          [
            [name, ''],
            [`sub/${name}/${name}`, ''],
          ] as const,
      ),
    );
    expect(await pathsOf(await makeProject(tree, withGit))).toEqual(Object.keys(tree).sort());
  });

  it('leaves out what .hpcrunignore names, also below and with exceptions', async () => {
    const directory = await makeProject(
      {
        '.hpcrunignore': '# data\n*.csv\n!keep.csv\n/build/\nsub/private\n',
        ...{ 'a.csv': '', 'keep.csv': '', 'sub/b.csv': '', 'build/x': '', 'sub/build/x': '', 'sub/private/x': '' },
      },
      withGit,
    );
    expect(await pathsOf(directory)).toEqual(['.hpcrunignore', 'keep.csv', 'sub/build/x']);
  });

  it('matches the letters of .hpcrunignore as they are', async () => {
    const directory = await makeProject({ '.hpcrunignore': 'data\n', data: '', Data: '' }, withGit);
    expect(await pathsOf(directory)).toEqual(['.hpcrunignore', 'Data']);
  });

  it('never lists results that were pulled, but a directory of that name further down', async () => {
    const directory = await makeProject({ 'hpcrun-results/id/out': '', 'sub/hpcrun-results/out': '', a: '' }, withGit);
    expect(await pathsOf(directory)).toEqual(['a', 'sub/hpcrun-results/out']);
  });

  it('keeps links that stay in the project, also those that dangle or lead to directories', async () => {
    const directory = await makeProject(
      {
        'sub/file': '',
        'sub/up': { link: '../top' },
        top: { link: 'sub/file' },
        here: { link: '.' },
        there: { link: 'sub' },
        dangling: { link: 'missing' },
      },
      withGit,
    );
    expect(await selectFiles(directory)).toMatchObject([
      { type: 'symlink', path: 'dangling', target: 'missing' },
      { type: 'symlink', path: 'here', target: '.' },
      { type: 'file', path: 'sub/file' },
      { type: 'symlink', path: 'sub/up', target: '../top' },
      { type: 'symlink', path: 'there', target: 'sub' },
      { type: 'symlink', path: 'top', target: 'sub/file' },
    ]);
  });

  it('refuses links that leave it, all of them at once', async () => {
    const directory = await makeProject(
      { absolute: { link: '/etc/passwd' }, above: { link: '../x' }, 'sub/far': { link: '../../x' }, 'a.py': '' },
      withGit,
    );
    const error = await failureOf(() => selectFiles(directory));
    expect(error.code).toBe('CODE_UNSENDABLE');
    expect(error.message.split('\n').sort()).toEqual([
      'above is a link to ../x, which will not exist in the job',
      'absolute is a link to /etc/passwd, which will not exist in the job',
      'sub/far is a link to ../../x, which will not exist in the job',
    ]);
    expect(error.hint).toContain('.hpcrunignore');
    await writeFile(join(directory, '.hpcrunignore'), 'absolute\nabove\nfar\n');
    expect(await pathsOf(directory)).toEqual(['.hpcrunignore', 'a.py']);
  });

  it('refuses a link to a sibling whose name begins like the project', async () => {
    const directory = await makeProject({}, withGit);
    await writeTree(directory, { link: { link: `../${directory.split('/').at(-1) ?? ''}-other/x` } });
    expect((await failureOf(() => selectFiles(directory))).code).toBe('CODE_UNSENDABLE');
  });

  it('refuses names that are not UTF-8', async () => {
    const directory = await makeProject({ 'a.py': '' }, withGit);
    await writeFile(Buffer.from(`${directory}/caf\xe9`, 'latin1'), '');
    const error = await failureOf(() => selectFiles(directory));
    expect(error.code).toBe('CODE_UNSENDABLE');
    expect(error.message).toContain('caf\xe9');
  });

  it('finds nothing in an empty project', async () => {
    expect(await selectFiles(await makeProject({}, withGit))).toEqual([]);
  });
});

describe('selectFiles outside of git', () => {
  it('lists directories only if they are empty', async () => {
    const directory = await makeProject({ 'full/file': '' }, false);
    await mkdir(join(directory, 'empty/inner'), { recursive: true });
    expect(await selectFiles(directory)).toMatchObject([
      { type: 'directory', path: 'empty/inner' },
      { type: 'file', path: 'full/file' },
    ]);
  });

  it('pays no heed to .gitignore', async () => {
    expect(await pathsOf(await makeProject({ '.gitignore': 'a', a: '' }, false))).toEqual(['.gitignore', 'a']);
  });

  it('refuses what is neither file nor directory nor link', async () => {
    const directory = await makeProject({ 'a.py': '' }, false);
    execFileSync('mkfifo', [join(directory, 'pipe')]);
    const error = await failureOf(() => selectFiles(directory));
    expect(error.message).toBe('pipe is neither a file nor a directory nor a link');
  });
});

describe('selectFiles in a git work tree', () => {
  it('takes tracked and new files, and leaves out what git ignores', async () => {
    const directory = await makeProject({ '.gitignore': '*.log\n/data/\n', 'tracked.py': '' }, true);
    await writeTree(directory, {
      'new.py': '',
      'x.log': '',
      'data/big': '',
      'sub/y.log': '',
      '.git/info/exclude': 'mine\n',
      mine: '',
    });
    expect(await pathsOf(directory)).toEqual(['.gitignore', 'new.py', 'tracked.py']);
  });

  it('takes a tracked file that git ignores, unless .hpcrunignore names it', async () => {
    const directory = await makeProject({ 'a.log': '', 'b.log': '' }, true);
    await writeTree(directory, { '.gitignore': '*.log\n', '.hpcrunignore': 'b.log\n' });
    expect(await pathsOf(directory)).toEqual(['.gitignore', '.hpcrunignore', 'a.log']);
  });

  it('takes files as they are in the work tree: deleted, changed, renamed', async () => {
    const directory = await makeProject({ deleted: '', changed: 'old', 'renamed/old': '', mode: '' }, true);
    await rm(join(directory, 'deleted'));
    await writeFile(join(directory, 'changed'), 'a longer text');
    await chmod(join(directory, 'mode'), 0o755);
    git(directory, 'mv', 'renamed/old', 'new');
    expect(await selectFiles(directory)).toMatchObject([
      { path: 'changed', sizeBytes: 13 },
      { path: 'mode', isExecutable: true },
      { path: 'new' },
    ]);
  });

  it('takes a directory that has become a file as what it is now', async () => {
    const directory = await makeProject({ 'd/f': '', keep: '' }, true);
    await rm(join(directory, 'd'), { recursive: true });
    await writeFile(join(directory, 'd'), 'now a file');
    expect(await selectFiles(directory)).toMatchObject([{ path: 'd', sizeBytes: 10 }, { path: 'keep' }]);
  });

  it('takes a submodule that was never fetched as the empty directory it is', async () => {
    const library = await makeProject({ 'lib.py': '' }, true);
    const origin = await makeProject({ 'a.py': '' }, true);
    git(origin, 'submodule', '--quiet', 'add', library, 'sub');
    git(origin, 'commit', '-q', '-m', 'Add sub');
    const directory = join(await makeTemporaryDirectory(), 'clone');
    git(origin, 'clone', '-q', origin, directory);
    expect(await selectFiles(directory)).toMatchObject([
      { path: '.gitmodules' },
      { path: 'a.py' },
      { type: 'directory', path: 'sub' },
    ]);
  });

  it('is about the project, not about the repository around it', async () => {
    const repository = await makeProject({ 'beside.py': '', 'project/a.py': '', '.gitignore': '*.log\n' }, true);
    await writeTree(repository, { 'project/x.log': '', 'project/new.py': '' });
    expect(await pathsOf(join(repository, 'project'))).toEqual(['a.py', 'new.py']);
  });

  it('asks repositories inside what they hold, submodules and others', async () => {
    const library = await makeProject({ '.gitignore': '*.log\n', 'lib.py': '' }, true);
    const directory = await makeProject({ 'a.py': '' }, true);
    git(directory, 'submodule', '--quiet', 'add', library, 'sub');
    await mkdir(join(directory, 'clones'));
    git(directory, 'clone', '-q', library, join(directory, 'clones/other'));
    await writeTree(directory, { 'sub/x.log': '', 'sub/new.py': '', 'clones/other/y.log': '' });
    expect(await pathsOf(directory)).toEqual([
      ...['.gitmodules', 'a.py', 'clones/other/.gitignore', 'clones/other/lib.py'],
      ...['sub/.gitignore', 'sub/lib.py', 'sub/new.py'],
    ]);
  });
});
