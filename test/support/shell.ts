import { spawnSync } from 'node:child_process';

export interface ShellResult {
  stdout: string;
  stderr: string;
  status: number | null;
}

/** Runs a script under a real shell of this machine, with an environment that holds no more than it is given. */
export function runShell(
  shell: string,
  script: string,
  options: { cwd?: string; env?: Record<string, string>; input?: string | Buffer } = {},
): ShellResult {
  const { stdout, stderr, status, error } = spawnSync(shell, ['-c', script], {
    cwd: options.cwd,
    // Without SHLVL, bash takes the socket on its standard input for one of sshd and reads ~/.bashrc.
    env: {
      PATH: process.env.PATH ?? '/usr/bin:/bin',
      LC_ALL: 'C.UTF-8',
      HOME: '/nonexistent',
      SHLVL: '2',
      ...options.env,
    },
    input: options.input ?? '',
    maxBuffer: 64 << 20,
  });
  if (error) throw error;
  return { stdout: stdout.toString('utf8'), stderr: stderr.toString('utf8'), status };
}

/** Where a program is, or undefined if it is not installed. */
export function findProgram(name: string): string | undefined {
  const { stdout } = runShell('/bin/sh', `command -v ${name} || true`);
  return stdout.trim() === '' ? undefined : stdout.trim();
}
