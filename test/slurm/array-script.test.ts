import { expect, it } from 'vitest';
import { renderJobScript } from '../../src/slurm/job-script.js';
import { loadTemplate } from '../../src/slurm/templates.js';
import { runShell } from '../support/shell.js';

const run = '/scratch/ada/hpcrun/runs/20261122-081530-k3f9';

it('writes the script of a sweep, which bash can read', async () => {
  const text = renderJobScript(await loadTemplate('array'), {
    runId: '20261122-081530-k3f9',
    head: {
      name: 'train',
      comment: 'hpcrun:20261122-081530-k3f9',
      logPath: `${run}/logs/job.log`,
      logPattern: `${run}/logs/%A_%a.log`,
      workingDirectory: run,
      resources: {},
    },
    runDirectory: run,
    imagePath: `/scratch/ada/hpcrun/images/${'5e'.repeat(32)}.sif`,
    imageBytes: '731000000',
    binds: [],
    mount: '/workspace',
    containerDirectory: '/workspace',
    modules: [],
    command: [],
    sweep: { snapshot: `/scratch/ada/hpcrun/code/${'c0'.repeat(32)}` },
    hpcrunVersion: '0.1.0',
  });
  expect(text).toContain(`#SBATCH --output=${run}/logs/%A_%a.log\n`);
  expect(text).toContain('\nrun=$sweep/tasks/$task\n');
  expect(text).toContain(`\n  cp -Rp /scratch/ada/hpcrun/code/${'c0'.repeat(32)} "$part" `);
  expect(text).toContain('\ncommand+=("${arguments[@]}")\n');
  expect(text).not.toContain('#SBATCH --array');
  const { stderr, status } = runShell('bash', 'exec bash -n', { input: text });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
});
