import { describe, expect, it } from 'vitest';
import { loadTemplate, renderJobScript, type JobScript } from '../../src/slurm/job-script.js';
import { quote } from '../../src/ssh/quote.js';
import { failureOf } from '../support/failure.js';
import { runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const run = '/scratch/ada/hpcrun/runs/20261122-081530-k3f9';

const minimal: JobScript = {
  runId: '20261122-081530-k3f9',
  head: {
    name: 'train',
    comment: 'hpcrun:20261122-081530-k3f9',
    logPath: `${run}/logs/job.log`,
    workingDirectory: `${run}/work`,
    resources: {},
  },
  runDirectory: run,
  imagePath: `/scratch/ada/hpcrun/images/${'5e'.repeat(32)}.sif`,
  imageBytes: '731000000',
  binds: [],
  mount: '/workspace',
  containerDirectory: '/workspace',
  modules: [],
  command: ['python3', 'train.py'],
  hpcrunVersion: '0.1.0',
};

const full: JobScript = {
  ...minimal,
  head: {
    ...minimal.head,
    name: 'digits-2',
    resources: {
      gpus: { type: 'h100', count: 2 },
      cpus: 24,
      memory: '100G',
      time: 93_784,
      partition: 'c23g',
      account: 'thes1234',
    },
  },
  binds: [
    { source: '/hpcwork/ada/data sets', target: '/data', readonly: true },
    { source: "/hpcwork/ada/it's $HOME", target: '/out put', readonly: false },
  ],
  mount: '/my work',
  containerDirectory: '/my work/src',
  modules: ['Apptainer/1.4', 'CUDA'],
  command: [
    ...['/opt/py thon', '-u', 'train.py', '--lr', '0.1 x', '', "it's", '"double"', 'two\nlines', '$(touch /tmp/x)'],
    ...['`id`', '${HOME}', '; exit 0', '#not a comment', '--', '-rf', '*', '~', 'back\\slash', '<%= runId %>', 'ünï😀'],
  ],
};

const cases: [string, JobScript][] = [
  ['minimal', minimal],
  ['gpus-binds-modules', full],
  ['no-gpus-asked-for', { ...minimal, head: { ...minimal.head, resources: { gpus: { count: 0 }, time: 600 } } }],
];

describe('renderJobScript', () => {
  it.each(cases)('writes %s.sbatch', async (name, script) => {
    const text = renderJobScript(await loadTemplate('single'), script);
    await expect(text).toMatchFileSnapshot(`../golden/${name}.sbatch`);
  });

  it.each(cases)('writes what bash can read: %s', async (_, script) => {
    const text = renderJobScript(await loadTemplate('single'), script);
    const { stderr, status } = runShell('bash', 'exec bash -n', { input: text });
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(text).not.toContain('\r');
  });

  it('has every #SBATCH line before the first command, where sbatch looks for them', async () => {
    const lines = renderJobScript(await loadTemplate('single'), full).split('\n');
    const firstCommand = lines.findIndex((line) => line !== '' && !line.startsWith('#'));
    const directives = lines.flatMap((line, index) => (line.startsWith('#SBATCH') ? [index] : []));
    expect(directives.length).toBeGreaterThan(7);
    expect(Math.max(...directives)).toBeLessThan(firstCommand);
    expect(lines[0]).toBe('#!/bin/bash');
  });

  it('gives the container exactly the arguments it was given', async () => {
    const text = renderJobScript(await loadTemplate('single'), full);
    const from = text.indexOf('\noptions=(');
    const to = text.indexOf('\n"${command[@]}" &');
    const assignment = text.slice(from, to);
    const { stdout } = runShell(
      'bash',
      `C() { echo '--no-eval'; }\ncontainer=C scratch=S run=R image=I\n${assignment}\nprintf '%s\\0' "\${command[@]}"`,
    );
    const argv = stdout.split('\0').slice(0, -1);
    expect(argv.slice(argv.indexOf('I') + 1)).toEqual(full.command);
    expect(argv).toContain('--nv');
    expect(argv).toContain('--no-eval');
    // Not known to this container program.
    expect(argv).not.toContain('--no-umask');
    expect(argv.slice(argv.indexOf('--bind'), argv.indexOf('I'))).toEqual([
      ...['--bind', 'R/work:/my work'],
      ...['--bind', '/hpcwork/ada/data sets:/data:ro'],
      ...['--bind', "/hpcwork/ada/it's $HOME:/out put"],
      ...['--pwd', '/my work/src'],
    ]);
  });

  it('keeps the exit status beside the run when it cannot begin', async () => {
    const directory = await makeTemporaryDirectory();
    const text = renderJobScript(await loadTemplate('single'), { ...minimal, runDirectory: directory });
    const script = `mkdir ${quote(`${directory}/state`)} && PATH=/usr/bin:/bin exec bash -s`;
    const { stderr, status } = runShell('bash', script, { input: text });
    expect(status).toBe(255);
    expect(stderr).toMatch(/^hpcrun: /m);
    expect(runShell('bash', `cat ${quote(`${directory}/state/exit`)}`).stdout).toBe('255\n');
  });

  it.each(['a\n#SBATCH --uid=0', 'a"b', 'a\\'])('refuses %j as the name of a job', async (name) => {
    const template = await loadTemplate('single');
    const error = await failureOf(() => renderJobScript(template, { ...minimal, head: { ...minimal.head, name } }));
    expect(error.code).toBe('USAGE');
  });
});
