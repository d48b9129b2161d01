import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderTopUp } from '../../../src/run/sweep/submit-tasks.js';
import type { Sweep } from '../../../src/run/sweep/sweep.js';
import { scriptPrelude } from '../../../src/ssh/remote-script.js';
import { runRecord } from '../../support/run-record.js';
import { findProgram, runShell } from '../../support/shell.js';
import { SlurmStandIn } from '../../support/slurm-stand-in.js';
import { makeTemporaryDirectory } from '../../support/temporary-directory.js';

const shells = ['dash', 'bash'].filter((name) => findProgram(name) !== undefined);
const sweep: Sweep = { parameters: ['seed'], tasks: Array.from({ length: 20 }, (_, seed) => [String(seed)]) };

/** A sweep of 20 tasks, of which SLURM has taken five. */
async function makeSweep(shell: string) {
  const root = await makeTemporaryDirectory();
  const record = runRecord({ root, sweep });
  const run = join(root, 'runs', record.runId);
  await mkdir(join(run, 'state'), { recursive: true });
  await writeFile(join(run, 'run.json'), '{}');
  await writeFile(join(run, 'state/receipt'), '41 1795000000 0-4\n');
  const slurm = await SlurmStandIn.make();
  return {
    run,
    slurm,
    topUp: () => runShell(shell, scriptPrelude + renderTopUp(run, record, sweep), { env: slurm.env }),
    receipt: async () =>
      (await readFile(join(run, 'state/receipt'), 'utf8'))
        .trim()
        .replaceAll(/ \d{10} /g, ' ')
        .split('\n'),
    make: async (path: string) => {
      await mkdir(dirname(join(run, path)), { recursive: true });
      await writeFile(join(run, path), '');
    },
  };
}

describe.each(shells)('submitting more of a sweep in %s', (shell) => {
  it('submits the rest, an array for as many as SLURM allows', async () => {
    const { topUp, receipt } = await makeSweep(shell);
    expect(topUp()).toEqual({ stdout: 'submitted\n', stderr: '', status: 0 });
    expect(await receipt()).toEqual(['41 0-4', '51 5-9', '52 10-14', '53 15-19']);
  });

  it('submits nothing of a sweep that is cancelled', async () => {
    const { make, slurm, topUp, receipt } = await makeSweep(shell);
    await make('state/cancelled');
    expect(topUp().status).toBe(0);
    expect(await slurm.calls()).toEqual([]);
    expect(await receipt()).toEqual(['41 0-4']);
  });

  it('stops when the sweep is cancelled meanwhile, and cancels what came too late', async () => {
    const { run, slurm, topUp, receipt } = await makeSweep(shell);
    await slurm.say('meanwhile', `: >'${run}/state/cancelled'`);
    expect(topUp().status).toBe(0);
    expect(await receipt()).toEqual(['41 0-4', '51 5-9']);
    const [submitted, ...others] = await slurm.calls();
    expect(submitted).toContain('tasks 5-9');
    expect(others).toEqual(['scancel 51']);
  });
});
