import { execa } from 'execa';

export interface GitState {
  commit: string;
  isDirty: boolean;
}

/** The commit a project is at and whether it has changes on top; null outside of git or before the first commit. */
export async function readGitState(directory: string): Promise<GitState | null> {
  const git = execa({ reject: false, stdin: 'ignore' });
  const [head, status] = await Promise.all([
    git('git', ['-C', directory, 'rev-parse', '--verify', 'HEAD']),
    git('git', ['-C', directory, 'status', '--porcelain', '--', '.']),
  ]);
  if (head.exitCode !== 0 || status.exitCode !== 0) return null;
  return { commit: head.stdout.trim(), isDirty: status.stdout.trim() !== '' };
}
