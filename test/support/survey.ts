import type { Partition, Survey } from '../../src/cluster/survey.js';

/** A partition of one ordinary node, with whatever a test wants to be different. */
export function makePartition(changes: Partial<Partition> = {}): Partition {
  return {
    name: 'batch',
    isDefault: false,
    isUp: true,
    nodes: 1,
    usableNodes: 1,
    cpus: 64,
    memoryMb: 256_000,
    gpus: [],
    ...changes,
  };
}

/** What a login node says on which everything is there, with a SLURM as a test wants it. */
export function makeSurvey(slurm: Partial<Survey['slurm']>): Survey {
  return {
    architecture: 'amd64',
    kernel: '5.14.0',
    host: 'login1',
    shell: '/bin/bash',
    clockAheadSeconds: 0,
    user: 'ada',
    groups: ['ada'],
    places: { HOME: '/home/ada' },
    modules: [],
    slurm: {
      found: 'path',
      version: '24.11.5',
      commands: ['sbatch', 'squeue', 'sacct', 'scancel', 'scontrol', 'sinfo', 'sacctmgr', 'srun'],
      hasAccounting: true,
      partitions: [],
      accounts: [],
      complaints: [],
      ...slurm,
    },
    hasUserNamespaces: true,
    root: { existing: '/home/ada', isWritable: true },
    space: { freeBytes: 1e12, freeInodes: 1e7 },
  };
}
