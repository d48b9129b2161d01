import type { JobScript } from '../../src/slurm/job-script.js';

export const runDirectory = '/scratch/ada/hpcrun/runs/20261122-081530-k3f9';

/** The least that a job script says. */
export const minimalScript: JobScript = {
  runId: '20261122-081530-k3f9',
  head: {
    name: 'train',
    comment: 'hpcrun:20261122-081530-k3f9',
    logPath: `${runDirectory}/logs/job.log`,
    workingDirectory: `${runDirectory}/work`,
    resources: {},
  },
  runDirectory,
  imagePath: `/scratch/ada/hpcrun/images/${'5e'.repeat(32)}.sif`,
  imageBytes: '731000000',
  binds: [],
  mount: '/workspace',
  containerDirectory: '/workspace',
  modules: [],
  command: ['python3', 'train.py'],
  hpcrunVersion: '0.1.0',
};
