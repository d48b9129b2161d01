import fc from 'fast-check';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { SlowLink } from '../support/slow-link.js';
import { errorOf, hpcrun, makeProject, onLogin, sandboxCluster, startHpcrun } from './lab.js';

const place = '/home/researcher/once';
const root = `${place}/root`;
/** Each does with its arguments what a real sbatch does, at another moment or with another answer. */
const wrappers = {
  plain: 'exec sbatch "$@"',
  before: `touch ${place}/called; sleep 4; exec sbatch "$@"`,
  after: `sbatch "$@"; touch ${place}/called; sleep 4`,
  'timed-out': `sbatch "$@" >/dev/null; echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1`,
  'not-heard': `echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1`,
} as const;
const names = Object.keys(wrappers) as (keyof typeof wrappers)[];

/** The sandbox behind a link that can be cut. */
let link: SlowLink;
let project: string;

// Jobs wait in the queue, and take no time from what is tested.
const submit = ['submit', '--begin', 'now+2hours', '--', 'true'];
const on = (name: keyof typeof wrappers) => ({ cwd: project, env: { HPCRUN_CLUSTER: name } });

beforeAll(async () => {
  const { port, identityFile, knownHostsFile } = await sandboxCluster();
  link = await SlowLink.open({ host: '127.0.0.1', port, delayMs: 15 });
  await onLogin(`mkdir -p ${place}`);
  for (const name of names) {
    await onLogin(`cat >${place}/${name} <<'end'\n#!/bin/sh\n${wrappers[name]}\nend\nchmod +x ${place}/${name}`);
  }
  const own = { host: '127.0.0.1', port: link.port, user: 'researcher', identityFile, root, pollSeconds: 2 };
  project = await makeProject({
    known_hosts: (await readFile(knownHostsFile, 'utf8')).replace(/^\S+/gm, `[127.0.0.1]:${link.port}`),
    'data.txt': 'some data\n',
  });
  const clusters = Object.fromEntries(
    names.map((name) => [
      name,
      {
        ...own,
        knownHostsFile: join(project, 'known_hosts'),
        slurm: { commands: { sbatch: `${place}/${name}` } },
      },
    ]),
  );
  await writeFile(
    join(project, 'hpcrun.yaml'),
    JSON.stringify({ cluster: 'plain', image: { name: 'debian:trixie-slim' }, clusters }),
  );
  // Afterwards, nothing has to be sent but the run itself.
  for (const name of names) expect((await hpcrun(['status'], on(name))).exitCode).toBe(0);
  expect((await hpcrun(submit, on('plain'))).exitCode).toBe(0);
});

afterAll(async () => {
  await link.close();
  await onLogin(`scancel -u researcher; chmod -R u+w ${place}; rm -rf ${place}`);
});

/** Jobs by the run that their comment names. */
async function jobsByRun(): Promise<Map<string, string[]>> {
  const jobs = new Map<string, string[]>();
  const listed = await onLogin(`squeue --states=all -h -o '%i %k' | sort -n`);
  for (const [, jobId = '', runId = ''] of listed.matchAll(/^(\d+) hpcrun:(\S+)$/gm)) {
    jobs.set(runId, [...(jobs.get(runId) ?? []), jobId]);
  }
  return jobs;
}

/** Waits until nothing of a submission is at work on the login node, and says what lies about. */
async function leftovers(): Promise<string> {
  await expect
    .poll(() => onLogin(`ls -A ${root}/runs | grep '^[.]new-.*[.]claim$' || true`), { timeout: 60_000 })
    .toBe('');
  await expect.poll(() => onLogin(`ls -A ${root}/runs | grep '^[.]new-' || true`), { timeout: 60_000 }).toBe('');
  return await onLogin(`cd ${root}/runs; for run in *; do [ -s "$run/state/receipt" ] || echo "$run"; done`);
}

interface Shown {
  runId: string;
  jobId: string | null;
  state: string;
}

/** Each run has one job that `status` knows, or none, and `status` says so. */
async function expectOnce(seen: Map<string, string[]>, shown: Shown[]): Promise<void> {
  for (const { runId, jobId, state } of shown) {
    expect({ runId, jobs: seen.get(runId) ?? [] }).toEqual({ runId, jobs: jobId === null ? [] : [jobId] });
    if (jobId === null) expect(state).toBe('NOT_SUBMITTED');
  }
  // No job is lost from sight.
  const known = new Set(shown.map(({ runId }) => runId));
  const runs = (await onLogin(`ls ${root}/runs`)).split('\n');
  expect([...seen.keys()].filter((runId) => runs.includes(runId) && !known.has(runId))).toEqual([]);
}

async function expectOneJob(name: keyof typeof wrappers, jobsBefore: number): Promise<void> {
  const seen = await jobsByRun();
  expect(seen.size).toBe(jobsBefore + 1);
  const { objects } = await hpcrun(['status', '--json'], on(name));
  await expectOnce(seen, objects as unknown as Shown[]);
}

/** Waits until one more run is known on this machine, which is just before it is handed over to the cluster. */
async function recorded(before: number): Promise<void> {
  await expect.poll(countRecords, { timeout: 60_000, interval: 1 }).toBeGreaterThan(before);
}

async function countRecords(): Promise<number> {
  const { XDG_STATE_HOME = '' } = inject('labEnvironment');
  return (await readdir(join(XDG_STATE_HOME, 'hpcrun', 'clusters', 'plain', 'runs'))).filter(isRecord).length;
}

const isRecord = (name: string) => /^[\w-]+\.json$/.test(name);

describe('hpcrun killed at any moment of a submission', () => {
  it('leaves no job or one that status knows', { timeout: 400_000 }, async () => {
    const before = await countRecords();
    const startedAt = performance.now();
    const whole = startHpcrun(submit, on('plain'));
    await recorded(before);
    const recordedAt = performance.now();
    expect((await whole).exitCode).toBe(0);
    const endedAt = performance.now();
    const moments = fc.sample(fc.double({ min: 0, max: 1, noNaN: true }), 50);
    for (const [index, moment] of moments.entries()) {
      const known = await countRecords();
      const victim = startHpcrun(submit, on('plain'));
      // Most of them while the run is handed over, which is the shorter part.
      if (index % 5 > 0) await recorded(known);
      await sleep(Math.sqrt(moment) * (endedAt - (index % 5 > 0 ? recordedAt : startedAt)));
      victim.kill('SIGKILL');
      await victim;
    }
    expect(await leftovers()).toBe('');
    const { objects } = await hpcrun(['status', '--json'], on('plain'));
    const shown = objects as unknown as Shown[];
    await expectOnce(await jobsByRun(), shown);
    // Both have happened, or the moments were not what they should be.
    const withJob = shown.filter(({ jobId }) => jobId !== null).length;
    console.log(`${shown.length} runs, ${withJob} of them with a job`);
    expect(withJob).toBeGreaterThan(3);
    expect(shown.length).toBeGreaterThan(withJob);
    await onLogin('scancel -u researcher');
  });
});

describe('a submission whose answer is lost', () => {
  const called = () => onLogin(`ls ${place}/called 2>/dev/null || true`);
  const ways = {
    'its connection was cut': () => {
      link.cut();
      return Promise.resolve();
    },
    'its session of sshd was killed': async () => {
      await onLogin(`pkill -KILL -u researcher -f 'sshd-session: researcher@notty'`, 'root');
    },
    'everything of the user was killed': async () => {
      await onLogin('pkill -KILL -u researcher', 'root');
    },
  };

  it.each(
    Object.entries(ways).flatMap(([title, act]) =>
      (['before', 'after'] as const).map((when) => ({ title, act, when })),
    ),
  )('is found or made good when $title $when sbatch has submitted', async ({ act, when }) => {
    await onLogin(`rm -f ${place}/called`);
    const before = (await jobsByRun()).size;
    const running = startHpcrun([...submit.slice(0, 1), '--json', ...submit.slice(1)], on(when));
    await expect.poll(called, { timeout: 60_000, interval: 100 }).not.toBe('');
    await act();
    const { exitCode, stdout, stderr } = await running;
    expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' });
    const { runId, jobId } = JSON.parse(stdout.split('\n')[0] ?? '{}') as { runId: string; jobId: string };
    expect((await jobsByRun()).get(runId)).toEqual([jobId]);
    await expectOneJob(when, before);
  });
});

describe('a SLURM that is too busy', () => {
  it('to answer for 20 s gets one job', async () => {
    const before = (await jobsByRun()).size;
    await onLogin('pkill -STOP slurmctld', 'root');
    const running = startHpcrun(submit, on('plain'));
    await sleep(20_000);
    await onLogin('pkill -CONT slurmctld', 'root');
    const { exitCode, stderr } = await running;
    expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' });
    await expectOneJob('plain', before);
  });

  it('and times out after it has submitted has one job', async () => {
    const before = (await jobsByRun()).size;
    const { exitCode, stderr } = await hpcrun(submit, on('timed-out'));
    expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' });
    await expectOneJob('timed-out', before);
  });

  it('and times out without a job is said to be in doubt, and has none', async () => {
    const before = (await jobsByRun()).size;
    const failed = await hpcrun(['submit', '--json', ...submit.slice(1)], on('not-heard'));
    expect(failed.exitCode).toBe(7);
    expect(errorOf(failed).code).toBe('SUBMISSION_UNCERTAIN');
    const seen = await jobsByRun();
    expect(seen.size).toBe(before);
    const { objects } = await hpcrun(['status', '@last', '--json'], on('not-heard'));
    expect(objects).toMatchObject([{ state: 'NOT_SUBMITTED', jobId: null }]);
  });
});
