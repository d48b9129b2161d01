import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { endedStatus, renderFollow, shorterStatus } from '../../src/run/follow-script.js';
import { findProgram } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const shells = ['dash', 'bash', 'busybox'].filter((name) => findProgram(name) !== undefined);

/** A script that runs, with what it has printed so far. */
function start(shell: string, script: string) {
  const argv = shell === 'busybox' ? ['sh', '-c', script] : ['-c', script];
  const child = spawn(shell, argv, { stdio: 'pipe' });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const until = async (text: string) => {
    while (!output.includes(text)) await once(child.stdout, 'data');
  };
  const ended = once(child, 'close').then(([status]) => ({ status: status as number | null, output }));
  return { child, until, ended };
}

describe.each(shells)('following a log in %s', (shell) => {
  it('prints what is beyond the known part and what comes, and ends with the job', async () => {
    const directory = await makeTemporaryDirectory();
    const [log, sentinel] = [join(directory, "it's a log"), join(directory, 'exit')];
    await writeFile(log, 'known new\n');
    const following = start(shell, renderFollow(log, 6, { seconds: 600, sentinel }));
    await following.until('new\n');
    await appendFile(log, 'more\n');
    await following.until('more\n');
    await writeFile(sentinel, '0\n');
    expect(await following.ended).toEqual({ status: endedStatus, output: 'new\nmore\n' });
  });

  it('waits for a log that is not there yet, no longer than it is told', async () => {
    const directory = await makeTemporaryDirectory();
    const log = join(directory, 'log');
    const following = start(shell, renderFollow(log, 0, { seconds: 600, sentinel: undefined }));
    await writeFile(log, 'first\n');
    await following.until('first\n');
    following.child.stdin.end();
    expect(await following.ended).toEqual({ status: 0, output: 'first\n' });
    await rm(log);
    const short = start(shell, renderFollow(log, 0, { seconds: 1, sentinel: undefined }));
    expect(await short.ended).toEqual({ status: 0, output: '' });
  });

  it('ends when nobody listens to it any more, and leaves no tail behind', async () => {
    const directory = await makeTemporaryDirectory();
    const log = join(directory, 'log');
    await writeFile(log, 'first\n');
    const following = start(shell, renderFollow(log, 0, { seconds: 600, sentinel: undefined }));
    await following.until('first\n');
    // Whoever still had it open for writing would keep it from closing.
    following.child.stdin.destroy();
    expect(await following.ended).toMatchObject({ status: 0 });
  });

  it('says that a log has become shorter, and prints the rest of one that has not', async () => {
    const directory = await makeTemporaryDirectory();
    const log = join(directory, 'log');
    await writeFile(log, '12345');
    const now = { seconds: 0, sentinel: undefined };
    expect(await start(shell, renderFollow(log, 6, now)).ended).toMatchObject({ status: shorterStatus, output: '' });
    expect(await start(shell, renderFollow(log, 5, now)).ended).toMatchObject({ status: 0, output: '' });
    expect(await start(shell, renderFollow(log, 2, now)).ended).toMatchObject({ status: 0, output: '345' });
    await rm(log);
    expect(await start(shell, renderFollow(log, 0, now)).ended).toMatchObject({ status: 0, output: '' });
  });
});
