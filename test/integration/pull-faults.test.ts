import { execa } from 'execa';
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { errorOf, hpcrun, onLogin, startHpcrun } from './lab.js';
import { digestFarTree, digestTree, emptyDirectory, killSessions, makeRun, type MadeRun } from './made-run.js';

const ended = 'echo 0 >state/exit';
const mixed = `cd work; for n in $(seq 300); do mkdir -p d$((n % 7)); head -c $((n * 97)) /dev/urandom >d$((n % 7))/f$n; done
head -c 70000000 /dev/urandom >large.bin; head -c 20000001 /dev/urandom >middle.bin; cd ..`;

const argumentsFor = ({ runId }: MadeRun, to: string, ...more: string[]) => [
  'pull-results',
  runId,
  '--cluster',
  'sandbox',
  '--to',
  to,
  '--json',
  ...more,
];

/** Pulls again, and looks that everything is right and nothing else is left. */
async function expectWhole(run: MadeRun, cwd: string): Promise<void> {
  const { exitCode, stderr } = await hpcrun(argumentsFor(run, 'to'), { cwd });
  expect(stderr).toBe('');
  expect(exitCode).toBe(0);
  expect(await digestTree(join(cwd, 'to'))).toEqual(await digestFarTree(run.directory));
}

/** Returns when a pull has begun to write its large file. */
async function partialIn(directory: string): Promise<void> {
  const names = async () => (existsSync(directory) ? await readdir(directory) : []);
  await expect.poll(names, { timeout: 20_000, interval: 10 }).toContainEqual(expect.stringMatching(/journal\.part$/));
}

describe('a pull that is cut off', () => {
  it('by kill -9, at 25 moments, leaves nothing wrong under a final name and is taken up again', async () => {
    const run = await makeRun(`${mixed}; ${ended}`);
    const far = new Set(await digestFarTree(run.directory));
    const cwd = await emptyDirectory();
    const to = join(cwd, 'to');
    for (let moment = 0; moment < 25; moment += 1) {
      const victim = startHpcrun(argumentsFor(run, 'to'), { cwd });
      await sleep(250 + Math.random() * 1200);
      victim.kill('SIGKILL');
      const { exitCode } = await victim;
      const here = existsSync(to) ? await digestTree(to) : [];
      for (const line of here.filter((each) => !each.includes('.hpcrun-'))) expect(far).toContain(line);
      if (exitCode === 0) await rm(to, { recursive: true });
    }
    await expectWhole(run, cwd);
  });

  it('by the end of its session there brings little again', async () => {
    const run = await makeRun(`head -c 150000000 /dev/urandom >work/large.bin; ${ended}`);
    const cwd = await emptyDirectory();
    const victim = startHpcrun(argumentsFor(run, 'to', '--bwlimit', '40M'), { cwd });
    await partialIn(join(cwd, 'to'));
    await sleep(2500);
    await killSessions();
    const { exitCode, stderr } = await victim;
    expect(exitCode).toBe(5);
    expect(errorOf({ exitCode, stderr, stdout: '', objects: [] }).code).toBe('CONNECTION_LOST');
    await expectWhole(run, cwd);
  });

  it('by a full disk says so, keeps what has come, and goes on when there is room', async () => {
    const run = await makeRun(`${mixed}; ${ended}`);
    const cwd = await emptyDirectory();
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=40m', 'tmpfs', cwd]);
    onTestFinished(async () => {
      await execa('umount', ['--lazy', cwd]);
    });
    const full = await hpcrun(argumentsFor(run, 'to'), { cwd });
    expect(full.exitCode).toBe(6);
    expect(errorOf(full)).toMatchObject({ code: 'TRANSFER_FAILED' });
    expect(errorOf(full).message).toContain('the disk is full');
    expect(await readdir(join(cwd, 'to'))).toContain('d0');
    await execa('mount', ['-o', 'remount,size=200m', cwd]);
    await expectWhole(run, cwd);
  });
});

describe('a file that changes while it is pulled', () => {
  it('is left if it grows, and comes when it is finished', async () => {
    const run = await makeRun(
      `head -c 60000000 /dev/urandom >work/large.bin; echo x >work/small; touch -d '1 minute ago' work/*`,
    );
    const cwd = await emptyDirectory();
    const pulling = startHpcrun(argumentsFor(run, 'to', '--bwlimit', '30M'), { cwd });
    await partialIn(join(cwd, 'to'));
    await onLogin(`echo more >>${run.directory}/work/large.bin`);
    const { exitCode, stdout } = await pulling;
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ files: 1, beingWritten: 1 });
    expect(await readdir(join(cwd, 'to'))).toEqual(['small']);
    await onLogin(`cd ${run.directory}; ${ended}`);
    await expectWhole(run, cwd);
  });

  it('is reported if it goes away, and the others come', async () => {
    const run = await makeRun(
      `head -c 60000000 /dev/urandom >work/large.bin; head -c 20000000 /dev/urandom >work/other.bin; ${ended}`,
    );
    const cwd = await emptyDirectory();
    const pulling = startHpcrun(argumentsFor(run, 'to', '--bwlimit', '30M'), { cwd });
    await partialIn(join(cwd, 'to'));
    await onLogin(
      `rm ${run.directory}/work/large.bin ${run.directory}/work/other.bin; echo x >${run.directory}/work/small`,
    );
    const { exitCode, stderr } = await pulling;
    if (exitCode !== 0) expect(stderr).toContain('it is gone or cannot be read there');
    await rm(join(cwd, 'to', 'large.bin'), { force: true });
    await rm(join(cwd, 'to', 'other.bin'), { force: true });
    await expectWhole(run, cwd);
  });
});
