import { execFileSync } from 'node:child_process';

/** Runs git in a repository of the test's own, untouched by the configuration of whoever runs the tests. */
export function git(directory: string, ...args: string[]): string {
  const settings = [
    'user.name=Ada',
    'user.email=ada@example.org',
    'init.defaultBranch=main',
    'commit.gpgSign=false',
    'protocol.file.allow=always',
  ];
  return execFileSync('git', ['-C', directory, ...settings.flatMap((setting) => ['-c', setting]), ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' },
  });
}
