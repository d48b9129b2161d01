import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyExample, farRoot, hpcrun, onLogin } from './lab.js';

/** So much of the example takes more than a minute, whenever SLURM sends its signal. */
const epochs = 60;

let project: string;

/** Submits without waiting for the end, and returns the run's id. */
async function submit(name: string, args: string[]): Promise<string> {
  const { objects, stderr } = await hpcrun(['submit', '--json', '--name', name, ...args], { cwd: project });
  expect(stderr).toBe('');
  return (objects as [{ runId: string }])[0].runId;
}

const logOf = (runId: string) => onLogin(`cat ${farRoot}/runs/${runId}/logs/job.log 2>/dev/null || true`);

async function statusOf(runId: string): Promise<Record<string, unknown>> {
  return (await hpcrun(['status', '--json', runId], { cwd: project })).objects[0] ?? {};
}

/** Waits until a run's log says something. */
async function said(runId: string, what: RegExp): Promise<string> {
  await expect.poll(() => logOf(runId), { timeout: 100_000, interval: 1000 }).toMatch(what);
  return await logOf(runId);
}

const jobsOf = (runId: string) => onLogin(`squeue -h --me -o '%i %T %k' | grep ${runId} || true`);

/** Every epoch once, in order, whatever was in between. */
function expectComplete(log: string, last = epochs): void {
  const counted = [...log.matchAll(/^epoch (\d+):/gm)].map((match) => Number(match[1]));
  expect(counted).toEqual(Array.from({ length: last }, (_, index) => index + 1));
  expect(log).toMatch(/^done$/m);
}

// What is common on clusters and not in the sandbox: jobs that give way to others. A job that is put back into the queue waits for
// so long as a credential is valid (slurm.conf man page, cred_expire), two minutes if nothing is said.
beforeAll(async () => {
  await onLogin(
    `cp /etc/sandbox/slurm.conf /etc/sandbox/slurm.conf.before
sed -i 's/^PartitionName=batch .*/& PriorityTier=1 PreemptMode=REQUEUE/' /etc/sandbox/slurm.conf
printf '%s\\n' AuthInfo=cred_expire=20 PreemptType=preempt/partition_prio PreemptMode=REQUEUE \\
  'PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF DefMemPerCPU=500 State=UP' >>/etc/sandbox/slurm.conf
scontrol reconfigure`,
    'root',
  );
  project = await copyExample('resume');
});
afterAll(async () => {
  await onLogin(
    'scancel --user=researcher; mv /etc/sandbox/slurm.conf.before /etc/sandbox/slurm.conf; scontrol reconfigure',
    'root',
  );
});

describe('work that takes longer than its time limit', () => {
  // They take their minutes at the same time.
  const runs: Record<'requeued' | 'followed' | 'chained' | 'crashing', string> = {
    requeued: '',
    followed: '',
    chained: '',
    crashing: '',
  };
  beforeAll(async () => {
    runs.requeued = await submit('requeued', [
      ...[
        '--',
        'sh',
        '-c',
        `echo "on $TMPDIR" >>/tmp/mark; wc -l /tmp/mark; python3 train.py ${epochs}; echo "shell: $?"`,
      ],
    ]);
    runs.followed = await submit('followed', ['--sbatch-arg', 'no-requeue', 'train.py', String(epochs)]);
    runs.chained = await submit('chained', ['--links', '8', 'train.py', String(epochs)]);
    runs.crashing = await submit('crashing', [
      ...[
        '--',
        'python3',
        '-c',
        'import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(3))\ntime.sleep(600)',
      ],
    ]);
  });

  it('is put back into the queue until it is done, in a shell, too, and keeps one log', async () => {
    const { exitCode } = await hpcrun(['wait', runs.requeued], { cwd: project });
    const log = await logOf(runs.requeued);
    expect({ exitCode, log }).toMatchObject({ exitCode: 0 });
    // The wrapping shell has lived to say how each start ended; its last is what the run ends with.
    expect([...log.matchAll(/^shell: (\d+)$/gm)].map((match) => match[1]).join(' ')).toMatch(/^75 (?:75 )*0$/);
    expectComplete(log);
    const restarts = [...log.matchAll(/^hpcrun: restart (\d+) on c[12]$/gm)].map((match) => Number(match[1]));
    expect(log.match(/^start (\d+), from epoch/gm)?.length).toBe(restarts.length + 1);
    // The scratch directory is a new one each time.
    expect(new Set(log.match(/^\d+ \/tmp\/mark$/gm))).toEqual(new Set(['1 /tmp/mark']));
    const status = await statusOf(runs.requeued);
    expect(status).toMatchObject({ state: 'COMPLETED', exitCode: 0, restarts: restarts.length });
    expect(restarts.length).toBeGreaterThan(0);
    expect((await hpcrun(['show', runs.requeued], { cwd: project })).stdout).toMatch(
      new RegExp(`^restarts +${restarts.length}$`, 'm'),
    );
    const { objects } = await hpcrun(['pull-results', '--json', runs.requeued], { cwd: project });
    expect(objects).toContainEqual(expect.objectContaining({ type: 'pulled', files: 1 }));
  });

  it('goes on in another job where its own cannot be started anew', async () => {
    expect((await hpcrun(['wait', runs.followed], { cwd: project })).exitCode).toBe(0);
    const log = await logOf(runs.followed);
    expectComplete(log);
    expect(log).toMatch(/^hpcrun: SLURM does not start this job anew: .*\nhpcrun: job \d+ goes on$/m);
    const status = await statusOf(runs.followed);
    expect(status).toMatchObject({
      state: 'COMPLETED',
      exitCode: 0,
      restarts: log.match(/^hpcrun: restart/gm)?.length,
    });
  });

  it('goes on in the next link of a chain, of which nothing is left when it is done', async () => {
    expect((await hpcrun(['wait', runs.chained], { cwd: project })).exitCode).toBe(0);
    const log = await logOf(runs.chained);
    expectComplete(log);
    expect(log).toMatch(/^hpcrun: the next link of the chain goes on\nhpcrun: restart 1 on c[12]$/m);
    expect(await statusOf(runs.chained)).toMatchObject({ state: 'COMPLETED', exitCode: 0 });
    await expect.poll(() => jobsOf(runs.chained), { timeout: 60_000 }).toBe('');
    const receipt = await onLogin(`cat ${farRoot}/runs/${runs.chained}/state/receipt`);
    expect(receipt.split('\n')).toHaveLength(8);
  });

  it('is not started anew if it crashes while it saves', async () => {
    expect((await hpcrun(['wait', runs.crashing], { cwd: project })).exitCode).toBe(3);
    expect(await logOf(runs.crashing)).toMatch(/ended with 3 instead of saving; it is not started again$/m);
    expect(await statusOf(runs.crashing)).toMatchObject({ state: 'FAILED', exitCode: 3, restarts: 0 });
    expect(await jobsOf(runs.crashing)).toBe('');
  });
});

describe('work that is interrupted by others', () => {
  it('goes on after a requeue by hand and a preemption; a cancel while it waits ends it', async () => {
    const runId = await submit('interrupted', ['--time', '10m', '--nodelist', 'c1', 'train.py', '10000']);
    const { jobId } = (await statusOf(runId)) as { jobId: string };
    await said(runId, /^epoch 2:/m);
    await onLogin(`scontrol requeue ${jobId}`);
    const first = await said(runId, /^start 1, from epoch [1-9]\d*$/m);
    expect(first).toMatch(/^hpcrun: restart 1 on c1$/m);

    await onLogin("sbatch -Q -p urgent -w c1 --exclusive -t 1 -o /dev/null --wrap 'sleep 1'");
    const second = await said(runId, /^start 2, from epoch [1-9]\d*$/m);
    expect(second).toMatch(/DUE TO PREEMPTION/);
    const [, from = ''] = /^start 2, from epoch (\d+)$/m.exec(second) ?? [];
    // What the script had done when it was told is not done again.
    expect(second).toMatch(new RegExp(`^epoch ${from}:[^]*^start 2, from epoch ${from}$`, 'm'));

    await onLogin(`scontrol requeue ${jobId}`);
    await expect.poll(async () => (await statusOf(runId)).state, { timeout: 60_000 }).toBe('PENDING');
    const cancelled = await hpcrun(['cancel', '--json', runId], { cwd: project });
    expect(cancelled.objects).toMatchObject([{ cancelled: true }]);
    await expect.poll(() => jobsOf(runId), { timeout: 60_000 }).toBe('');
    expect(await statusOf(runId)).toMatchObject({ state: 'CANCELLED', restarts: 2 });
  });

  it('ends with all of its chain when it is cancelled', async () => {
    const runId = await submit('dropped', ['--links', '3', 'train.py', '10000']);
    await said(runId, /^epoch 1:/m);
    expect((await jobsOf(runId)).split('\n')).toHaveLength(3);
    await hpcrun(['cancel', runId], { cwd: project });
    await expect.poll(() => jobsOf(runId), { timeout: 60_000 }).toBe('');
    expect(await statusOf(runId)).toMatchObject({ state: 'CANCELLED', restarts: 0 });
    expect(await logOf(runId)).not.toContain('restart');
  });
});
