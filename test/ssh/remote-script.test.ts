import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { diskFullStatus, scriptPrelude } from '../../src/ssh/remote-script.js';
import { quote } from '../../src/ssh/quote.js';
import { runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const shells = ['/bin/sh', 'bash'];

describe.each(shells)('the prelude of remote scripts under %s', (shell) => {
  const run = (script: string) => runShell(shell, scriptPrelude + script);

  it('goes on when the command it tries goes well', () => {
    expect(run('try_disk sh -c "echo out; echo err >&2"\necho next')).toEqual({
      stdout: 'next\n',
      stderr: '',
      status: 0,
    });
  });

  it.each([
    'mkdir: cannot create directory: No space left on device',
    'tar: write error: Disk quota exceeded',
    'cp: quota exceeded',
  ])('ends with the status for a full disk after "%s"', (said) => {
    const { stdout, stderr, status } = run(`try_disk sh -c 'echo "${said}" >&2; exit 3'\necho next`);
    expect({ stdout, stderr, status }).toEqual({ stdout: '', stderr: `${said}\n`, status: diskFullStatus });
  });

  it('ends with 1 after any other failure, with its message', async () => {
    const missing = join(await makeTemporaryDirectory(), 'a b', 'c');
    const { stdout, stderr, status } = run(`try_disk mkdir ${quote(missing)}\necho next`);
    expect({ stdout, status }).toEqual({ stdout: '', status: 1 });
    expect(stderr).toContain(missing);
  });

  it('knows a disk that is full for real', () => {
    expect(run(`try_disk sh -c 'echo x | cat >/dev/full'`).status).toBe(diskFullStatus);
  });

  it('does not take a variable that is not set for an empty one', () => {
    const { stdout, status } = run('rm -rf "$nowhere/"\necho next');
    expect(stdout).toBe('');
    expect(status).not.toBe(0);
  });

  it('keeps what it writes from others', async () => {
    const file = join(await makeTemporaryDirectory(), 'secret');
    expect(run(`: >${quote(file)}\nstat -c %a ${quote(file)}`).stdout).toBe('600\n');
  });
});
