import { expect, it } from 'vitest';
import { renderJobScript } from '../../src/slurm/job-script.js';
import { loadTemplate } from '../../src/slurm/templates.js';
import { minimalScript, runDirectory } from '../support/job-script.js';
import { runShell } from '../support/shell.js';

it('writes the script of a sweep, which bash can read', async () => {
  const text = renderJobScript(await loadTemplate('array'), {
    ...minimalScript,
    head: { ...minimalScript.head, logPattern: `${runDirectory}/logs/%A_%a.log`, workingDirectory: runDirectory },
    command: [],
    sweep: { snapshot: `/scratch/ada/hpcrun/code/${'c0'.repeat(32)}` },
  });
  expect(text).toContain(`#SBATCH --output=${runDirectory}/logs/%A_%a.log\n`);
  expect(text).toContain('\nrun=$sweep/tasks/$task\n');
  expect(text).toContain(`\n  cp -Rp /scratch/ada/hpcrun/code/${'c0'.repeat(32)} "$part" `);
  expect(text).toContain('\ncommand+=("${arguments[@]}")\n');
  expect(text).not.toContain('#SBATCH --array');
  const { stderr, status } = runShell('bash', 'exec bash -n', { input: text });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
});
