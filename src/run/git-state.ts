import { execa } from 'execa';
import type { RunRecord } from './record.js';

/** The commit and branch a project is at and whether it has changes on top; null outside of git or before the first commit. */
export async function readGitState(directory: string): Promise<RunRecord['code']['git']> {
  const git = execa({ reject: false, stdin: 'ignore' });
  const [head, branch, status] = await Promise.all([
    git('git', ['-C', directory, 'rev-parse', '--verify', 'HEAD']),
    git('git', ['-C', directory, 'symbolic-ref', '--quiet', '--short', 'HEAD']),
    git('git', ['-C', directory, 'status', '--porcelain', '--', '.']),
  ]);
  if (head.exitCode !== 0 || status.exitCode !== 0) return null;
  return {
    commit: head.stdout.trim(),
    ...(branch.exitCode === 0 ? { branch: branch.stdout.trim() } : {}),
    isDirty: status.stdout.trim() !== '',
  };
}
