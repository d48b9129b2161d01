import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { renderCancel } from '../../src/run/cancel.js';
import type { RunStatus } from '../../src/run/status.js';
import { scriptPrelude } from '../../src/ssh/remote-script.js';
import { runRecord } from '../support/run-record.js';
import { SlurmStandIn } from '../support/slurm-stand-in.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

it('says so first, waits for whoever is submitting, and cancels what has come of it', async () => {
  const root = await makeTemporaryDirectory();
  const record = runRecord({ root, sweep: { parameters: ['seed'], tasks: [['1'], ['2'], ['3']] } });
  const state = join(root, 'runs', record.runId, 'state');
  await mkdir(join(state, 'submitting'), { recursive: true });
  await writeFile(join(state, 'receipt'), '40 1 0-0\n41 1 1-1\n');
  const unknown = { exitCode: undefined, reason: undefined, elapsedSeconds: undefined, nodes: undefined };
  const tasks = ['COMPLETED', 'RUNNING', 'NOT_SUBMITTED'].map((each, index) => {
    const jobId = ['40_0', '41_0', undefined][index];
    return { ...unknown, startTime: undefined, index, jobId, state: each };
  });
  const ids = { runId: record.runId, jobId: '40', otherJobIds: ['41'] };
  const run: RunStatus = { ...unknown, ...ids, startTime: undefined, state: 'RUNNING', record, tasks };
  const slurm = await SlurmStandIn.make();
  const script = scriptPrelude + renderCancel([run]);
  const child = spawn('sh', ['-c', script], { env: slurm.env, stdio: 'inherit' });
  const ended = once(child, 'exit');
  while (!existsSync(join(state, 'cancelled'))) await sleep(20);
  expect(await slurm.calls()).toEqual([]);
  await writeFile(join(state, 'receipt'), '40 1 0-0\n41 1 1-1\n42;other 1 2-2\n');
  await rmdir(join(state, 'submitting'));
  expect(await ended).toEqual([0, null]);
  expect(await slurm.calls()).toEqual(['scancel 41 42']);
});
