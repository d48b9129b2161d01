import { execa } from 'execa';
import ignore, { type Ignore } from 'ignore';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { dirname, join, posix, resolve, sep } from 'node:path';
import { HpcrunError, isMissing, isSystemError, messageOf } from '../errors.js';

export const ignoreFileName = '.hpcrunignore';
export const resultsDirectoryName = 'hpcrun-results';

// Never part of a project, with or without git.
const alwaysIgnored = ['.git', `/${resultsDirectoryName}/`];

/** A file of the project, as it will stand in the snapshot. */
export type ProjectFile =
  | { type: 'file'; path: string; sizeBytes: number; isExecutable: boolean }
  | { type: 'symlink'; path: string; target: string }
  /** Only empty directories are listed; the others follow from their files. */
  | { type: 'directory'; path: string };

/**
 * Lists what of a project is sent to the cluster, sorted by path (relative, with slashes): in a git work tree the tracked
 * and the untracked files that git does not ignore, elsewhere all; both without what .hpcrunignore names. Throws
 * CODE_UNSENDABLE for links that leave the project, special files and names that are not UTF-8.
 */
export async function selectFiles(projectDirectory: string): Promise<ProjectFile[]> {
  const filter = await readIgnoreFilter(projectDirectory);
  const paths = (await listWithGit(projectDirectory, '')) ?? (await reading(walk(projectDirectory, '', filter)));
  const files: ProjectFile[] = [];
  const problems: string[] = [];
  for (const path of new Set(paths)) {
    if (filter.ignores(path)) continue;
    const file = await describe(projectDirectory, path, problems);
    if (file) files.push(file);
  }
  if (problems.length > 0) {
    throw new HpcrunError('CODE_UNSENDABLE', problems.join('\n'), {
      hint: `Name what the job does not need in ${ignoreFileName}; reach data outside of the project through a bind (-v).`,
    });
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Knows what is never sent, whatever git thinks of it: what .hpcrunignore names, and results. */
export async function readIgnoreFilter(projectDirectory: string): Promise<Ignore> {
  return ignore({ ignorecase: false })
    .add(alwaysIgnored)
    .add(await readIgnoreFile(projectDirectory));
}

async function readIgnoreFile(directory: string): Promise<string> {
  try {
    return await readFile(join(directory, ignoreFileName), 'utf8');
  } catch (error) {
    if (isMissing(error)) return '';
    throw error;
  }
}

/** Undefined where there is no git work tree or no git. Submodules and nested repositories are asked themselves. */
async function listWithGit(root: string, prefix: string): Promise<string[] | undefined> {
  const directory = join(root, prefix);
  const result = await execa(
    'git',
    ['-C', directory, 'ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate'],
    { reject: false, stdin: 'ignore', encoding: 'buffer', stripFinalNewline: false, env: { LC_ALL: 'C' } },
  );
  if (result.code === 'ENOENT') return undefined;
  if (result.exitCode !== 0) {
    const stderr = Buffer.from(result.stderr).toString('utf8').trim();
    if (/not a git repository/i.test(stderr)) return undefined;
    throw new HpcrunError('CODE_UNSENDABLE', `git could not list the files of ${directory}: ${stderr}`, {
      hint: `Check with "git -C ${directory} status".`,
    });
  }
  const paths: string[] = [];
  for (const name of splitNames(Buffer.from(result.stdout))) {
    const path = posix.join(prefix, name).replace(/\/$/, '');
    // A directory in the list is a repository of its own; a submodule that was never fetched is an empty one.
    if (await isRepository(join(root, path))) paths.push(...((await listWithGit(root, path)) ?? []));
    else paths.push(path);
  }
  return paths;
}

async function walk(root: string, prefix: string, filter: Ignore): Promise<string[]> {
  const entries = await readdir(join(root, prefix), { withFileTypes: true, encoding: 'buffer' });
  if (entries.length === 0 && prefix !== '') return [prefix];
  const paths: string[] = [];
  for (const entry of entries) {
    const path = posix.join(prefix, decodeName(entry.name));
    if (filter.ignores(entry.isDirectory() ? `${path}/` : path)) continue;
    if (entry.isDirectory()) paths.push(...(await walk(root, path, filter)));
    else paths.push(path);
  }
  return paths;
}

async function describe(root: string, path: string, problems: string[]): Promise<ProjectFile | undefined> {
  const full = join(root, path);
  let stats;
  try {
    stats = await lstat(full);
  } catch (error) {
    // Tracked by git and deleted in the work tree: deleted it is.
    if (isMissing(error)) return undefined;
    throw error;
  }
  if (stats.isFile()) {
    return { type: 'file', path, sizeBytes: stats.size, isExecutable: (stats.mode & 0o100) !== 0 };
  }
  if (stats.isDirectory()) return { type: 'directory', path };
  if (stats.isSymbolicLink()) {
    const target = await readlink(full);
    const destination = resolve(dirname(full), target);
    const inside = destination === root || destination.startsWith(root.endsWith(sep) ? root : root + sep);
    if (inside && !target.startsWith('/')) return { type: 'symlink', path, target };
    problems.push(`${path} is a link to ${target}, which will not exist in the job`);
    return undefined;
  }
  problems.push(`${path} is neither a file nor a directory nor a link`);
  return undefined;
}

async function isRepository(path: string): Promise<boolean> {
  try {
    if (!(await lstat(path)).isDirectory()) return false;
    await lstat(join(path, '.git'));
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

function* splitNames(list: Buffer): Generator<string> {
  let from = 0;
  for (let end = list.indexOf(0); end !== -1; end = list.indexOf(0, from)) {
    yield decodeName(list.subarray(from, end));
    from = end + 1;
  }
}

function decodeName(name: Buffer): string {
  const text = name.toString('utf8');
  if (Buffer.from(text, 'utf8').equals(name)) return text;
  throw new HpcrunError('CODE_UNSENDABLE', `the file name ${JSON.stringify(name.toString('latin1'))} is not UTF-8`, {
    hint: 'Rename the file.',
  });
}

/** Awaits what reads the project; a file that cannot be read is the user's to mend. */
export async function reading<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isMissing(error) && !isSystemError(error, 'EACCES') && !isSystemError(error, 'EPERM')) throw error;
    throw new HpcrunError('CODE_UNSENDABLE', `a file of the project cannot be read: ${messageOf(error)}`, {
      hint: `Mend its permissions, or name it in ${ignoreFileName} if the job does not need it.`,
      cause: error,
    });
  }
}
