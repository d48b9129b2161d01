import fc from 'fast-check';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ResourceRequest } from '../../src/slurm/directives.js';
import { renderJobScript, type JobScript } from '../../src/slurm/job-script.js';
import { loadTemplate } from '../../src/slurm/templates.js';
import { quote } from '../../src/ssh/quote.js';
import { failureOf } from '../support/failure.js';
import { minimalScript as minimal } from '../support/job-script.js';
import { runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { anyWord, shellWord } from '../support/text.js';

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
  overlays: [
    { path: `/scratch/ada/hpcrun/images/${'0a'.repeat(32)}.sqfs`, bytes: '40960' },
    { path: `/scratch/ada/hpcrun/images/${'0b'.repeat(32)}.sqfs`, bytes: '4096' },
  ],
  volumes: ['/data', "/it's here", '/not,bindable', '/nor:this'],
  containersFile: '/scratch/ada/hpcrun/containers',
  mount: '/my work',
  containerDirectory: '/my work/src',
  modules: ['Apptainer/1.4', 'CUDA'],
  command: [
    ...['/opt/py thon', '-u', 'train.py', '--lr', '0.1 x', '', "it's", '"double"', 'two\nlines', '$(touch /tmp/x)'],
    ...['`id`', '${HOME}', '; exit 0', '#not a comment', '--', '-rf', '*', '~', 'back\\slash', '<%= runId %>', 'ünï😀'],
    ...['\r\n', 'a\r\nb'],
  ],
};

const withResources = (script: JobScript, resources: ResourceRequest): JobScript => ({
  ...script,
  head: { ...script.head, resources: { ...script.head.resources, ...resources } },
});

/** The name of a golden file, what it says, and the template it is made from. */
const cases: [string, JobScript, string][] = [
  ['minimal', minimal, 'single'],
  ['gpus-binds-modules', full, 'single'],
  ['no-gpus-asked-for', withResources(minimal, { gpus: { count: 0 }, time: 600 }), 'single'],
  ['torchrun', withResources(minimal, { nodes: 2, tasks: 2, tasksPerNode: 1 }), 'torchrun'],
  [
    'torchrun-gpus',
    {
      ...withResources(full, { nodes: 4, tasks: 4, tasksPerNode: 1 }),
      processesPerNode: 2,
      rendezvousSuffix: 'i',
    },
    'torchrun',
  ],
  ['mpi', withResources(minimal, { nodes: 2, tasksPerNode: 4 }), 'mpi'],
  ['service', { ...minimal, command: ['jupyter', 'lab', '--port', '{port}'] }, 'service'],
  ['shell', minimal, 'shell'],
  ['mpi-ibrun', { ...withResources(full, { tasks: 64 }), launcher: 'ibrun' }, 'mpi'],
];

describe('renderJobScript', () => {
  it.each(cases)('writes %s.sbatch', async (name, script, template) => {
    const text = renderJobScript(await loadTemplate(template), script);
    await expect(text).toMatchFileSnapshot(`../golden/${name}.sbatch`);
  });

  it.each(cases)('writes what bash can read: %s', async (_, script, template) => {
    const text = renderJobScript(await loadTemplate(template), script);
    const { stderr, status } = runShell('bash', 'exec bash -n', { input: text });
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    // Which sbatch refuses.
    expect(text).not.toContain('\r\n');
  });

  it("uses the site's container program, GPU vendor, proxy and export rule", async () => {
    const template = await loadTemplate('single');
    const text = renderJobScript(template, {
      ...full,
      containerCommand: 'singularity',
      proxy: 'http://proxy:80',
      rules: { gpus: { vendor: 'amd', option: 'gpus-per-node' }, directives: { export: 'NONE' } },
    });
    expect(text).toContain('\n#SBATCH --gpus-per-node=h100:2\n');
    expect(text).toContain('\n#SBATCH --export=NONE\n');
    expect(text).toContain('\nexport SLURM_EXPORT_ENV=ALL\n');
    expect(text).toContain('\noptions+=(--rocm)\n');
    expect(text).toContain('\nexport https_proxy=http://proxy:80\n');
    expect(text).toContain('command -v singularity');
    expect(text).not.toContain('command -v apptainer');
    expect(runShell('bash', 'exec bash -n', { input: text }).stderr).toBe('');
  });

  it("uses the partition's GPU vendor", async () => {
    const rules = { gpus: { vendor: 'nvidia' as const }, partitions: { 'mi*': { gpus: { vendor: 'amd' as const } } } };
    const inPartition = (partition: string) => ({
      ...full,
      rules,
      head: { ...full.head, resources: { ...full.head.resources, partition } },
    });
    const template = await loadTemplate('single');
    expect(renderJobScript(template, inPartition('mi300'))).toContain('\noptions+=(--rocm)\n');
    expect(renderJobScript(template, inPartition('c23g'))).toContain('\noptions+=(--nv)\n');
  });

  it.each([
    [true, 'yes'],
    [false, 'no'],
  ])('asks nobody for the internet where the site knows: %s', async (computeInternet, answer) => {
    const text = renderJobScript(await loadTemplate('single'), { ...full, computeInternet });
    const functions = text.slice(text.indexOf('\nin_image() {'), text.indexOf('\nfound='));
    const script = `${functions}\ncurl() { echo asked >&2; }\nin_image() { false; }\ncontainer=false scratch=/nonexistent\nprobe`;
    const { stdout, stderr } = runShell('bash', script);
    expect(stdout).toContain(`internet ${answer}\n`);
    expect(stderr).not.toContain('asked');
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
    const scratch = await makeTemporaryDirectory();
    const text = renderJobScript(await loadTemplate('single'), full);
    const from = text.indexOf('\noptions=(');
    const to = text.indexOf('\n"${command[@]}" &');
    const assignment = text.slice(from, to);
    const { stdout } = runShell(
      'bash',
      `C() { echo '--no-eval'; }\ncontainer=C scratch=${scratch} rank=0 run=R start=S image=I\n${assignment}\nprintf '%s\\0' "\${command[@]}"`,
    );
    const argv = stdout.split('\0').slice(0, -1);
    expect(argv.slice(argv.indexOf('I') + 1)).toEqual(full.command);
    expect(argv).toContain('--nv');
    expect(argv).toContain('--no-eval');
    // Not known to this container program.
    expect(argv).not.toContain('--no-umask');
    expect(argv.slice(argv.indexOf('--bind'), argv.indexOf('I'))).toEqual([
      ...['--bind', `${scratch}/volumes/0:/data`],
      ...['--bind', `${scratch}/volumes/1:/it's here`],
      ...['--overlay', `/scratch/ada/hpcrun/images/${'0a'.repeat(32)}.sqfs:ro`],
      ...['--overlay', `/scratch/ada/hpcrun/images/${'0b'.repeat(32)}.sqfs:ro`],
      ...['--bind', 'S:/.singularity.d/env/99-zz-hpcrun.sh:ro'],
      ...['--bind', 'R/work:/my work'],
      ...['--bind', '/hpcwork/ada/data sets:/data:ro'],
      ...['--bind', "/hpcwork/ada/it's $HOME:/out put"],
      ...['--pwd', '/my work/src'],
    ]);
    expect(runShell('sh', `ls -A ${scratch}/volumes`).stdout).toBe('0\n1\n');
  });

  it('brings the environment itself where the SIF does not hold it as it is', async () => {
    const template = await loadTemplate('single');
    const bind = '--bind /dev/null:/.singularity.d/env/10-docker2singularity.sh';
    expect(renderJobScript(template, { ...minimal, isNative: false })).toContain(bind);
    expect(renderJobScript(template, minimal)).not.toContain(bind);
  });

  it('refuses a template with a value nobody has', async () => {
    const { text } = await loadTemplate('single');
    const template = { name: 'single', path: '/p/single.sbatch.ejs', text: `${text}echo <%= nobody %>\n` };
    const error = await failureOf(() => renderJobScript(template, minimal));
    expect(error.code).toBe('TEMPLATE_INVALID');
    expect(error.message).toBe(`/p/single.sbatch.ejs:${text.split('\n').length}: hpcrun has no value nobody`);
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

describe('what is read in the container before the command', () => {
  /** Writes the file as a job does, and returns its path. */
  async function writeStart(variables: Record<string, string>, slurm: Record<string, string> = {}): Promise<string> {
    const directory = await makeTemporaryDirectory();
    await mkdir(join(directory, 'run', 'state'), { recursive: true });
    const exports = Object.entries(variables).map(([name, value]) => `export APPTAINERENV_${name}=${quote(value)}\n`);
    await writeFile(join(directory, 'run', 'env'), exports.join(''));
    const text = renderJobScript(await loadTemplate('single'), minimal);
    const part = text.slice(text.indexOf('. "$run/env"'), text.indexOf('\noptions=('));
    const script = `rank=0 run=${directory}/run scratch=${directory}\n${part}\nenv | grep APPTAINERENV_`;
    const { stdout, stderr } = runShell('bash', script, { env: slurm });
    expect({ stdout, stderr }).toEqual({ stdout: '', stderr: '' });
    return join(directory, 'run', 'state', 'start.sh');
  }

  const read = (path: string, argv: string[], then: string, env: Record<string, string> = {}) =>
    runShell('/bin/sh', `set -- ${argv.map(quote).join(' ')}\n. ${path}\n${then}`, { env });

  it('sets every variable, whatever it holds', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(anyWord, shellWord), { maxLength: 20 }), async (some) => {
        const values = [...some, "it's", '\r\n', "'\r\n'", '\\'];
        const variables = Object.fromEntries(values.map((value, index) => [`V${index}`, value]));
        const path = await writeStart(variables, { SLURM_JOB_NAME: values[0] ?? '' });
        const show = [...Object.keys(variables), 'SLURM_JOB_NAME'].map((name) => `printf '%s\\0' "$${name}"`);
        const { stdout, stderr } = read(path, ['sh'], show.join('\n'));
        expect(stderr).toBe('');
        expect(stdout).toBe([...values, values[0] ?? ''].map((value) => `${value}\0`).join(''));
        // The shell of Apptainer would change these.
        const text = await readFile(path, 'utf8');
        expect(text).not.toContain("'\\''");
        expect(text).not.toContain('\r\n');
      }),
      { numRuns: 20 },
    );
  });

  it("leaves the image's LANG alone, and the run's", async () => {
    const path = await writeStart({});
    expect(read(path, ['sh'], 'echo "$LANG"').stdout).toBe('C.UTF-8\n');
    expect(read(path, ['sh'], 'echo "$LANG"', { LANG: 'de_DE.UTF-8' }).stdout).toBe('de_DE.UTF-8\n');
    expect(read(await writeStart({ LANG: 'C' }), ['sh'], 'echo "$LANG"', { LANG: 'de_DE.UTF-8' }).stdout).toBe('C\n');
  });

  it.each([
    ['a program of the PATH', ['sh'], 0],
    ['a program by its path', ['/bin/sh'], 0],
    ['a program that is not there', ['no-such-program'], 127],
    ['a path that is not there', ['/no/such/program'], 127],
    ['nothing', [''], 127],
    ['a builtin of shells', ['shift'], 127],
    ['a directory', ['/etc'], 126],
    ['a file that is not executable', ['/etc/passwd'], 126],
  ])('finds out what Docker would: %s', async (_, argv, status) => {
    const result = read(await writeStart({}), argv, ':');
    expect(result.status).toBe(status);
    expect(result.stderr).toMatch(status === 0 ? /^$/ : /^hpcrun: /);
  });
});
