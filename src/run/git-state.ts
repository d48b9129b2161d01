import { execa } from 'execa';
import type { RunRecord } from './record.js';

/** The commit and branch a project is at and whether it has changes on top; null outside of git or before the first commit. */
export async function readGitState(directory: string): Promise<RunRecord['code']['git']> {
  const git = execa({ reject: false, stdin: 'ignore' });
  const { exitCode, stdout } = await git('git', [
    ...['-C', directory, 'status', '--porcelain=v2', '--branch', '--', '.'],
  ]);
  if (exitCode !== 0) return null;
  const lines = stdout.split('\n').filter((line) => line !== '');
  // Lines of the head begin with #, each with a name and a value (git-status, "Porcelain Format Version 2").
  const head = (name: string) => lines.find((line) => line.startsWith(`# ${name} `))?.slice(name.length + 3);
  const [commit, branch] = [head('branch.oid'), head('branch.head')];
  if (commit === undefined || commit === '(initial)') return null;
  return {
    commit,
    ...(branch === undefined || branch === '(detached)' ? {} : { branch }),
    isDirty: lines.some((line) => !line.startsWith('#')),
  };
}
