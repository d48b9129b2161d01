import { execa } from 'execa';
import { readIgnoreFilter, type ProjectFile } from '../cluster/select-files.js';

const maximumBytes = 1e6;
const namedFiles = 1000;

/**
 * What a project has on top of its commit: a patch of the tracked files (`git diff HEAD`, also of binary ones), cut after
 * 1 MB, below a head of comment lines that name those of `files` that git does not track, whose content is in the snapshot itself. What is not
 * sent to the cluster because .hpcrunignore names it is not in the patch either.
 */
export async function readChanges({
  directory,
  files,
}: {
  directory: string;
  files: readonly ProjectFile[];
}): Promise<Buffer> {
  const git = execa({ reject: false, stdin: 'ignore', encoding: 'buffer', stripFinalNewline: false, cwd: directory });
  const diff = ['diff', '--no-color', '--no-ext-diff', '--no-textconv', '--no-renames', '--relative', 'HEAD'];
  const [changed, untracked, filter] = await Promise.all([
    git('git', [...diff, '--name-only', '-z', '--', '.']),
    git('git', ['ls-files', '-z', '--others', '--exclude-standard']),
    readIgnoreFilter(directory),
  ]);
  const unsent = namesOf(changed.stdout).filter((path) => filter.ignores(path));
  const patch = await git(
    'git',
    [...diff, '--binary', '--', '.', ...unsent.map((path) => `:(exclude,literal)${path}`)],
    {
      maxBuffer: maximumBytes,
    },
  );

  const sent = new Set(files.map(({ path }) => path));
  const added = namesOf(untracked.stdout).filter((path) => sent.has(path));
  const head = [
    'What the project had on top of its commit when it was submitted.',
    ...(patch.isMaxBuffer ? [`The patch is cut off after ${maximumBytes} bytes.`] : []),
    ...(patch.failed && !patch.isMaxBuffer ? ['git could not make the patch.'] : []),
    ...(added.length > 0 ? ['Files that git does not track:'] : []),
    ...added.slice(0, namedFiles).map((path) => `  ${JSON.stringify(path)}`),
    ...(added.length > namedFiles ? [`  and ${added.length - namedFiles} more`] : []),
  ];
  return Buffer.concat([Buffer.from(head.map((line) => `# ${line}\n`).join(''), 'utf8'), patch.stdout]);
}

function namesOf(list: Uint8Array): string[] {
  return Buffer.from(list)
    .toString('utf8')
    .split('\0')
    .filter((name) => name !== '');
}
