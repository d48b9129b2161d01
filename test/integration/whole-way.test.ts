import { execa } from 'execa';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { copyExample, farRoot, hpcrun, onLogin, type CommandResult } from './lab.js';

interface Submitted {
  type: string;
  runId: string;
  jobId: string;
  image: { sha256: string; sizeBytes: number; built: boolean; converted: boolean; uploaded: boolean };
  code: { treeHash: string };
}

describe('examples/digits, the whole way', () => {
  let project: string;
  let first: CommandResult;
  let submitted: Submitted;

  beforeAll(async () => {
    project = await copyExample('digits');
    first = await hpcrun(['submit', '--json', '--gpus', '1', '--wait', 'train.py', '--epochs', '20'], { cwd: project });
    submitted = first.objects.find(({ type }) => type === 'submitted') as unknown as Submitted;
  });

  it('builds, converts, uploads and runs', () => {
    expect(first.stderr).toBe('');
    expect(first.exitCode).toBe(0);
    expect(submitted.image).toMatchObject({ built: true, converted: true, uploaded: true });
    expect(first.objects.at(-1)).toMatchObject({ type: 'run', state: 'COMPLETED', exitCode: 0, name: 'train' });
  });

  it('stores image and code under their hashes, immutable', async () => {
    const image = `${farRoot}/images/${submitted.image.sha256}.sif`;
    expect(await onLogin(`sha256sum ${image} | cut -c1-64; stat -c '%a %s' ${image}`)).toBe(
      `${submitted.image.sha256}\n440 ${submitted.image.sizeBytes}`,
    );
    const writable = await onLogin(`find ${farRoot}/code/${submitted.code.treeHash} -perm /222`);
    expect(writable).toBe('');
    expect(await onLogin(`find ${farRoot} -name '*.part' -o -name '.new-*'`)).toBe('');
  });

  it('keeps the same record on both sides', async () => {
    const far = JSON.parse(await onLogin(`cat ${farRoot}/runs/${submitted.runId}/run.json`)) as Record<string, unknown>;
    expect(far).toMatchObject({
      runId: submitted.runId,
      name: 'train',
      command: ['python3', 'train.py', '--epochs', '20'],
    });
    const { stdout } = await hpcrun(['status', submitted.runId, '--json'], { cwd: project });
    expect(JSON.parse(stdout)).toMatchObject({ runId: submitted.runId, jobId: submitted.jobId, state: 'COMPLETED' });
  });

  it('makes an image that Apptainer finds in order', async () => {
    const image = `${farRoot}/images/${submitted.image.sha256}.sif`;
    expect(await onLogin(`apptainer sif list ${image}`)).toMatch(/FS \(Squashfs\/\*System\/amd64\)/);
    expect(await onLogin(`apptainer exec ${image} sh -c 'echo $MPLBACKEND'`)).toBe('Agg');
    expect(await onLogin(`apptainer run ${image} python3 --version`)).toMatch(/^Python 3/);
  });

  it('prints the output of the job, with the GPU SLURM gave it', async () => {
    const { stdout } = await hpcrun(['logs', submitted.runId], { cwd: project });
    expect(stdout).toMatch(/^host c[12], CUDA_VISIBLE_DEVICES: [01]$/m);
    expect(stdout.match(/^epoch /gm)).toHaveLength(20);
  });

  it('pulls three result files, once, and never stages them back up', async () => {
    const pulled = await hpcrun(['pull-results', '--json'], { cwd: project });
    expect(pulled.objects.at(-1)).toMatchObject({ type: 'pulled', runId: submitted.runId, files: 3 });
    const directory = join(project, 'hpcrun-results', submitted.runId);
    expect((await readdir(directory)).sort()).toEqual(['confusion.png', 'metrics.json', 'model.joblib']);
    const { accuracy } = JSON.parse(await readFile(join(directory, 'metrics.json'), 'utf8')) as { accuracy: number };
    expect(accuracy).toBeGreaterThan(0.9);
    const far = await onLogin(
      `cd ${farRoot}/runs/${submitted.runId}/work && sha256sum confusion.png && stat -c %Y confusion.png`,
    );
    const here = await execa('sha256sum', ['confusion.png'], { cwd: directory });
    const { mtimeMs } = await stat(join(directory, 'confusion.png'));
    expect(`${here.stdout}\n${Math.floor(mtimeMs / 1000)}`).toBe(far);

    const again = await hpcrun(['pull-results', '--json'], { cwd: project });
    expect(again.objects.at(-1)).toMatchObject({ files: 0, bytes: 0 });
  });

  it('does nothing twice, results in the project notwithstanding', async () => {
    const second = await hpcrun(['submit', '--json', '--gpus', '1', 'train.py', '--epochs', '1'], { cwd: project });
    const again = second.objects.at(-1) as unknown as Submitted;
    expect(again.type).toBe('submitted');
    expect(again.image).toEqual({ ...submitted.image, built: false, converted: false, uploaded: false });
    expect(again.code).toEqual(submitted.code);
    expect((await hpcrun(['wait', again.runId], { cwd: project })).exitCode).toBe(0);
  });

  it('sends the code anew where a clean-up has taken a part of it', async () => {
    const snapshot = `${farRoot}/code/${submitted.code.treeHash}`;
    await onLogin(`chmod u+w ${snapshot} && rm -f ${snapshot}/train.py`);
    const run = await hpcrun(['submit', '--json', '--wait', 'train.py', '--epochs', '1'], { cwd: project });
    expect(run.exitCode).toBe(0);
    expect(await onLogin(`ls ${snapshot}/train.py; ls -A ${farRoot}/code ${farRoot}/runs | grep -c new || true`)).toBe(
      `${snapshot}/train.py\n0`,
    );
  });

  it('leaves an image that is there alone when it is sent again', async () => {
    const image = `${farRoot}/images/${submitted.image.sha256}.sif`;
    const before = await onLogin(`stat -c %i ${image}`);
    const pushed = await hpcrun(['push', '--json'], { cwd: project });
    expect(pushed.objects).toMatchObject([{ type: 'pushed', parts: [{ uploaded: false, sentBytes: 0 }] }]);
    expect(await onLogin(`stat -c %i ${image}; ls -A ${farRoot}/images | grep -c incoming || true`)).toBe(
      `${before}\n0`,
    );
  });
});
