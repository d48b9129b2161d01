import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageDirectory } from '../../../src/package-directory.js';
import { parseTrial, trialResources } from '../../../src/run/doctor/trial.js';
import { renderTrial, renderTrialJob, type Trial } from '../../../src/run/doctor/trial-script.js';
import { runShell } from '../../support/shell.js';

const trial: Trial = {
  id: '0123456789abcdef',
  layout: { root: '/scratch/ada/hpcrun', containers: '/scratch/ada/hpcrun/containers' },
  architecture: 'amd64',
  resources: { time: 300, partition: 'c23g', gpus: { count: 1 } },
  rules: { memoryOption: 'mem-per-cpu' },
  modules: ["it's/1.0"],
  containerCommand: undefined,
  proxy: 'http://proxy:80',
  computeInternet: undefined,
  nodeProbe: await readFile(join(packageDirectory(), 'slurm-templates', 'node-probe.sh'), 'utf8'),
  pollSeconds: 60,
  patienceSeconds: 120,
};

describe('the scripts of the trial', () => {
  it.each(['sh', 'bash'])('can be read by %s on the login node', (shell) => {
    expect(runShell(shell, `exec ${shell} -n`, { input: renderTrial(trial) })).toMatchObject({ stderr: '', status: 0 });
  });

  it('can be read by bash on a compute node, and has its directives in front', () => {
    const script = renderTrialJob(trial);
    expect(runShell('bash', 'exec bash -n', { input: script })).toMatchObject({ stderr: '', status: 0 });
    expect(script).toMatch(/^#!\/bin\/bash\n(?:#SBATCH --\S+\n)+\n#/);
    expect(script).toContain('\n#SBATCH --gres=gpu:1\n');
  });

  it('asks for what the project says of where its jobs may run', () => {
    const wishes = {
      constraint: 'a100',
      sbatchArgs: [{ name: 'exclusive', value: undefined }],
      cpus: 64,
      time: 90_000,
    };
    expect(trialResources(wishes)).toMatchObject({
      constraint: 'a100',
      sbatchArgs: [{ name: 'exclusive' }],
      time: 300,
    });
    expect(trialResources(wishes)).not.toHaveProperty('cpus');
  });

  it('answer for a node without a container program', () => {
    const script = renderTrialJob({ ...trial, modules: [], containerCommand: 'no-such-program' })
      .replace(/^work=.*$/m, 'work=$(mktemp -d)')
      .replace('  exit 0', '  cat "$work/answer"; rm -r "$work"; exit 0');
    const { stdout } = runShell('bash', script);
    expect(parseTrial(stdout.split('\n').map((line) => `hpcrun-found ${line}`))).toMatchObject({
      kind: 'no-container',
      message: 'there is no no-such-program there',
    });
  });
});

describe('parseTrial', () => {
  const answer = [
    ...['node c1', 'container apptainer version 1.4.5', 'scratch 2048 /tmp/x', 'runs yes', 'overlays yes', 'zstd no'],
    ...['kernel 6.1', 'driver ', 'internet no'],
  ].map((line) => `hpcrun-found ${line}`);

  it('reads what a node has answered', () => {
    const facts = {
      overlays: true,
      zstd: false,
      kernel: '6.1',
      driver: '',
      container: 'apptainer version 1.4.5',
      internet: false,
    };
    expect(parseTrial(answer)).toEqual({ kind: 'ran', node: 'c1', facts, scratchBytes: 2048 * 1024 });
  });

  it.each([
    [
      ['hpcrun-found node c2', 'hpcrun-found failed FATAL: no '],
      { kind: 'no-container', node: 'c2', message: 'FATAL: no' },
    ],
    [['hpcrun-ended 7 PENDING Priority'], { kind: 'waiting', jobId: '7', state: 'PENDING Priority' }],
    [['hpcrun-ended 7 FAILED NonZeroExitCode', 'hpcrun-log why'], { kind: 'ended', jobId: '7', log: ['why'] }],
    [['hpcrun-ended 7 slurm_load_jobs error: Invalid job id specified'], { kind: 'ended', jobId: '7' }],
    [[], { kind: 'no-container', message: 'it gave no answer' }],
  ])('%j', (lines, expected) => {
    expect(parseTrial(lines)).toMatchObject(expected);
  });
});

describe('trialResources', () => {
  it('asks for little, where the jobs will run, and for what the site wants to be said', () => {
    const wishes = {
      partition: 'p',
      account: 'a',
      gpus: { type: 'h100', count: 4 },
      cpus: 64,
      memory: '500G',
      time: 86_400,
    };
    expect(trialResources(wishes)).toEqual({
      time: 300,
      partition: 'p',
      account: 'a',
      gpus: { type: 'h100', count: 1 },
    });
    expect(trialResources({}, ['memory', 'cpus'])).toMatchObject({ memory: '1G', cpus: 1 });
  });
});
