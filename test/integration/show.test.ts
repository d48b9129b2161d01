import { execa } from 'execa';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { errorOf, farRoot, hpcrun, makeProject, onLogin } from './lab.js';

const config = `cluster: sandbox
image: { name: debian:trixie-slim }
resources: { time: 10m }
env: { MODE: offline }
`;

async function makeCommittedProject(): Promise<string> {
  const project = await makeProject({ 'hpcrun.yaml': config, 'work.sh': 'echo one\n' });
  const git = (...args: string[]) =>
    execa('git', ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.org', ...args], { cwd: project });
  await git('init', '-q', '-b', 'trunk');
  await git('add', '.');
  await git('commit', '-qm', 'Begin');
  return project;
}

describe('show', () => {
  it('tells what a run was and used, and gives back its script and its changes', async () => {
    const project = await makeCommittedProject();
    await writeFile(join(project, 'work.sh'), 'echo two\n');
    const submit = ['submit', '--json', '--wait', '--memory', '100M', '--', 'sh', '-c', 'cat work.sh; exit 3'];
    const { objects } = await hpcrun(submit, { cwd: project });
    const [{ runId, jobId }] = objects as [{ runId: string; jobId: string }];

    const shown = await hpcrun(['show'], { cwd: project });
    expect(shown.exitCode).toBe(0);
    const lines = [
      `run           ${runId}`,
      'state         FAILED',
      'exit status 3',
      `job           ${jobId} on sandbox, c`,
      'asked for     --mem=100M --time=0-00:10:00',
      'was given     billing=1,cpu=1,mem=100M',
      "command       sh -c 'cat work.sh; exit 3'",
      'on trunk, with changes',
      'variables     MODE',
    ];
    for (const line of lines) expect(shown.stdout).toContain(line);
    expect(shown.stdout).not.toContain('offline');

    const json = await hpcrun(['show', '--json', runId], { cwd: project });
    expect(json.objects).toHaveLength(1);
    expect(json.objects[0]).toMatchObject({ type: 'run', runId, state: 'FAILED', exitCode: 3, record: { runId } });

    const script = await hpcrun(['show', '--script', jobId], { cwd: project });
    expect(`${script.stdout}\n`).toBe(`${await onLogin(`cat ${farRoot}/runs/${runId}/job.sbatch`)}\n`);
    const { stdout: patch } = await hpcrun(['show', '--diff'], { cwd: project });
    await execa('git', ['checkout', '-q', '.'], { cwd: project });
    await execa('git', ['apply'], { cwd: project, input: `${patch}\n` });
    expect(await execa('git', ['diff', '--stat'], { cwd: project })).toMatchObject({
      stdout: expect.stringContaining('work.sh') as string,
    });
  });

  it('says that there were no changes, and that there is no such run', async () => {
    const project = await makeCommittedProject();
    await hpcrun(['submit', '--json', '--', 'true'], { cwd: project });
    const clean = await hpcrun(['show', '--diff'], { cwd: project });
    expect(clean.exitCode).toBe(8);
    expect(clean.stderr).toContain('nothing in its project was uncommitted');
    const unknown = await hpcrun(['show', '--json', 'nobody'], { cwd: project });
    expect({ exitCode: unknown.exitCode, ...errorOf(unknown) }).toMatchObject({ exitCode: 8, code: 'RUN_NOT_FOUND' });
  });

  it('says what would mend a run that has failed, wherever one sees it end', async () => {
    const project = await makeProject({ 'hpcrun.yaml': config });
    const words = 'echo "ModuleNotFoundError: No module named \'nothere\'" >&2; exit 1';
    const advice = 'The image has no Python module nothere';
    const submitted = await hpcrun(['submit', '--wait', '--', 'sh', '-c', words], { cwd: project });
    expect({ exitCode: submitted.exitCode, stderr: submitted.stderr }).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining(advice) as string,
    });
    for (const command of [['wait'], ['logs', '-f'], ['show']]) {
      expect((await hpcrun(command, { cwd: project })).stderr).toContain(advice);
    }
  });
});
