import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseCsv } from '../../src/run/sweep/csv.js';
import { busyboxFiles } from './differential/busybox.js';
import { farRoot, hpcrun, makeProject, onLogin } from './lab.js';

// What would break out of a line, an argument or a file if anything let it.
const notes = ['plain', "it's $(id) `id` $HOME", '-x "quoted"', 'two\nlines\ttab; exit 9', 'ünï😀 \\ * [a]'];

const script = `#!/bin/sh
printf '%s\\0' "$@" >args
printf '%s' "$HPCRUN_PARAM_NOTE" >note
printf '%s' "$HPCRUN_PARAM_SEED" >seed
echo "task $HPCRUN_TASK"
[ "$HPCRUN_PARAM_SEED" != 40 ] || [ "$ATTEMPT" = 2 ] || exit 3
`;

interface Submitted {
  runId: string;
  jobId: string;
  tasks: number;
  tasksSubmitted: number;
}

let project: string;

beforeAll(async () => {
  project = await makeProject({ ...busyboxFiles, 'hpcrun.yaml': 'cluster: sandbox\n', 'sweep.sh': script });
});

async function submit(...args: string[]): Promise<Submitted> {
  const { objects, exitCode, stderr } = await hpcrun(['submit', '--json', ...args], { cwd: project });
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return objects.find(({ type }) => type === 'submitted') as unknown as Submitted;
}

async function tasksOf(runId: string) {
  const { objects } = await hpcrun(['status', runId, '--json'], { cwd: project });
  return { run: objects[0], tasks: objects.filter(({ type }) => type === 'task') };
}

async function receipts(runId: string): Promise<[jobId: string, span: string][]> {
  const text = await onLogin(`cat ${farRoot}/runs/${runId}/state/receipt`);
  return text.split('\n').map((line) => [line.split(' ')[0] ?? '', line.split(' ')[2] ?? '']);
}

/** Changes SLURM's configuration while the controller runs, for the length of `work`. */
async function withSlurm(lines: string, work: () => Promise<void>, before = 'true', after = 'true'): Promise<void> {
  const file = '/etc/sandbox/slurm.conf';
  await onLogin(`${before} && cp ${file} ${file}.kept && printf '${lines}' >>${file} && scontrol reconfigure`, 'root');
  try {
    await work();
  } finally {
    await onLogin(`mv ${file}.kept ${file}; ${after}; scontrol reconfigure`, 'root');
  }
}

describe('a sweep of 200 tasks', () => {
  let submitted: Submitted;

  beforeAll(async () => {
    const values = notes.map((note) => `"${note.replaceAll('"', '""')}"`).join(',');
    submitted = await submit(
      '-e',
      'ATTEMPT=1',
      '--sweep',
      `note=${values}`,
      '--sweep',
      'seed=1..40',
      'sweep.sh',
      '{seed}',
    );
    const { exitCode } = await hpcrun(['wait', submitted.runId], { cwd: project });
    expect(exitCode).toBe(3);
  }, 600_000);

  it('is one job array, of which status tells all', async () => {
    expect(submitted).toMatchObject({ tasks: 200, tasksSubmitted: 200 });
    expect(await receipts(submitted.runId)).toEqual([[submitted.jobId, '0-199']]);
    const { run, tasks } = await tasksOf(submitted.runId);
    expect(run).toMatchObject({
      state: 'FAILED',
      exitCode: 3,
      tasks: { total: 200, done: 195, failed: 5, running: 0 },
    });
    expect(tasks[41]).toMatchObject({
      jobId: `${submitted.jobId}_41`,
      parameters: { note: notes[1], seed: '2' },
      state: 'COMPLETED',
    });
    const failed = tasks.filter(({ state }) => state === 'FAILED').map(({ task, exitCode }) => [task, exitCode]);
    expect(failed).toEqual([39, 79, 119, 159, 199].map((task) => [task, 3]));
    const { stdout } = await hpcrun(['status'], { cwd: project });
    expect(stdout).toContain('195/200 done, 5 failed');
  });

  it('brings every value through, and all results back', async () => {
    const pulled = await hpcrun(['pull-results', submitted.runId, '--json'], { cwd: project });
    expect(pulled.objects.at(-1)).toMatchObject({ files: 600 });
    const directory = join(project, 'hpcrun-results', submitted.runId);
    const [, ...rows] = parseCsv(await readFile(join(directory, 'params.csv'), 'utf8'));
    expect(rows).toHaveLength(200);
    expect(await readdir(directory)).toHaveLength(201);
    for (const { fields } of rows) {
      const [task = '', note = '', seed = ''] = fields.map(({ text }) => text);
      const read = async (name: string) => await readFile(join(directory, task, name), 'utf8');
      expect(await read('note')).toBe(note);
      expect(await read('seed')).toBe(seed);
      const given = note.startsWith('-') ? [`--note=${note}`] : ['--note', note];
      expect((await read('args')).split('\0').slice(0, -1)).toEqual([seed, ...given]);
    }
  });

  it('has each task as if it were a run', async () => {
    const id = `${submitted.runId}.7`;
    expect((await hpcrun(['logs', id], { cwd: project })).stdout).toBe('task 7');
    const { exitCode } = await hpcrun(['wait', `${submitted.runId}.39`], { cwd: project });
    expect(exitCode).toBe(3);
    const pulled = await hpcrun(['pull-results', id, '--to', 'one', '--json'], { cwd: project });
    expect(pulled.objects.at(-1)).toMatchObject({ runId: id, files: 3 });
    expect((await readdir(join(project, 'one'))).sort()).toEqual(['args', 'note', 'seed']);
    const shown = await hpcrun(['show', id, '--json'], { cwd: project });
    expect(shown.objects[0]).toMatchObject({ runId: id, state: 'COMPLETED' });
    const all = await hpcrun(['logs', submitted.runId], { cwd: project });
    expect(all.stdout.match(/^task \d+$/gm)).toHaveLength(200);
    const missing = await hpcrun(['logs', `${submitted.runId}.200`], { cwd: project });
    expect(missing.exitCode).toBe(8);
  });

  it('does the failed ones again, without an engine and outside of the project', async () => {
    const options = { cwd: tmpdir(), env: { DOCKER_HOST: 'unix:///nonexistent', HPCRUN_ENGINE: 'docker' } };
    const args = ['rerun', submitted.runId, '--cluster', 'sandbox', '--failed', '--wait', '--json', '-e', 'ATTEMPT=2'];
    const again = await hpcrun(args, options);
    expect(again.stderr).toBe('');
    expect(again.exitCode).toBe(0);
    expect(again.objects[0]).toMatchObject({ type: 'submitted', tasks: 5 });
    expect(again.objects.at(-1)).toMatchObject({ state: 'COMPLETED', tasks: { total: 5, done: 5 } });
    const { tasks } = await tasksOf(String(again.objects[0]?.runId));
    expect(tasks.map(({ parameters }) => parameters)).toEqual(notes.map((note) => ({ note, seed: '40' })));
    const nothing = await hpcrun(
      ['rerun', String(again.objects[0]?.runId), '--failed', '--cluster', 'sandbox'],
      options,
    );
    expect(nothing.exitCode).toBe(2);
  });

  it('does one task again with the variables it had', async () => {
    const again = await hpcrun(['rerun', `${submitted.runId}.39`, '--wait', '--json'], { cwd: project });
    expect(again.exitCode).toBe(3);
    expect(again.objects[0]).toMatchObject({ tasks: 1 });
  });
});

it('submits 1,000 tasks in one call, and cancels them', async () => {
  const { runId, jobId, tasksSubmitted } = await submit('--begin', 'now+1hour', '--sweep', 'seed=1..1000', 'sweep.sh');
  expect(tasksSubmitted).toBe(1000);
  expect(await receipts(runId)).toEqual([[jobId, '0-999']]);
  expect(await onLogin(`squeue -h -r -j ${jobId} | wc -l`)).toBe('1000');
  const { run, tasks } = await tasksOf(runId);
  expect(run).toMatchObject({ state: 'PENDING', tasks: { total: 1000, done: 0 } });
  expect(tasks.filter(({ state }) => state === 'PENDING')).toHaveLength(1000);
  expect((await hpcrun(['cancel', `${runId}.3`], { cwd: project })).exitCode).toBe(0);
  expect(await onLogin(`squeue -h -r -t PENDING -j ${jobId} | wc -l`)).toBe('999');
  expect((await hpcrun(['cancel', runId], { cwd: project })).exitCode).toBe(0);
  expect((await tasksOf(runId)).run).toMatchObject({ state: 'CANCELLED' });
});

it('cuts a sweep into the arrays that SLURM allows', async () => {
  await withSlurm('MaxArraySize=6\\n', async () => {
    const { runId } = await submit('--max-parallel', '3', '--sweep', 'seed=1..14', 'sweep.sh');
    expect((await receipts(runId)).map(([, span]) => span)).toEqual(['0-5', '6-11', '12-13']);
    expect((await hpcrun(['wait', runId], { cwd: project })).exitCode).toBe(0);
    const pulled = await hpcrun(['pull-results', runId, '--json'], { cwd: project });
    expect(pulled.objects.at(-1)).toMatchObject({ files: 42 });
    const seeds = await Promise.all(
      Array.from({ length: 14 }, (_, task) =>
        readFile(join(project, 'hpcrun-results', runId, String(task), 'seed'), 'utf8'),
      ),
    );
    expect(seeds).toEqual(Array.from({ length: 14 }, (_, task) => String(task + 1)));
  });
});

it('submits what a submit limit leaves when there is room, each task once', async () => {
  await withSlurm(
    'AccountingStorageEnforce=associations,limits\\n',
    async () => {
      const { runId, tasksSubmitted } = await submit('--sweep', 'seed=1..20', 'sweep.sh');
      expect(tasksSubmitted).toBeLessThan(20);
      expect((await hpcrun(['wait', runId], { cwd: project })).exitCode).toBe(0);
      const spans = (await receipts(runId)).map(([, span]) => span.split('-').map(Number));
      expect(
        spans.flatMap(([first = 0, last = 0]) => Array.from({ length: last - first + 1 }, (_, i) => first + i)),
      ).toEqual(Array.from({ length: 20 }, (_, task) => task));
      const { run } = await tasksOf(runId);
      expect(run).toMatchObject({ state: 'COMPLETED', tasks: { total: 20, done: 20 } });
    },
    // Other tests may have left jobs behind.
    'sacctmgr -i modify user researcher set MaxSubmitJobs=$(($(squeue -h -r | wc -l) + 8)) >/dev/null',
    'sacctmgr -i modify user researcher set MaxSubmitJobs=-1 >/dev/null',
  );
});
