import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { errorOf, farRoot, hpcrun, makeProject, onLogin } from './lab.js';

/** A project whose image is on no cluster. */
async function makeFreshProject(): Promise<string> {
  const dockerfile = `FROM debian:trixie-slim\nRUN echo ${randomBytes(8).toString('hex')} >/fresh\n`;
  return await makeProject({ Dockerfile: dockerfile, 'hpcrun.yaml': 'cluster: sandbox\n' });
}

/** Everything in the store of images, half-sent ones and locks included. */
async function storedImages(): Promise<string> {
  return await onLogin(`find ${farRoot}/images -mindepth 1 2>/dev/null | LC_ALL=C sort`);
}

describe('sbatch is asked before an image is sent', () => {
  it.each([
    ['GPUs that no node has', ['--gpus', '64'], /not available|not satisf|cannot be satisfied/i],
    ['a partition that is not there', ['--partition', 'nowhere'], /nowhere/],
    ['memory that no node has', ['--memory', '900T'], /memory|not available/i],
  ])('%s', async (_, wish, words) => {
    const project = await makeFreshProject();
    const before = await storedImages();
    const refused = await hpcrun(['submit', '--json', ...wish, '--', 'cat', '/fresh'], { cwd: project });
    expect({ exitCode: refused.exitCode, ...errorOf(refused) }).toMatchObject({ exitCode: 7, code: 'SLURM_REFUSED' });
    expect(errorOf(refused).message).toMatch(words);
    expect(errorOf(refused).hint).toContain('batch (default): 2 nodes');
    expect(await storedImages()).toBe(before);

    const taken = await hpcrun(['submit', '--json', '--wait', '--', 'cat', '/fresh'], { cwd: project });
    expect(taken.exitCode).toBe(0);
    expect(taken.objects[0]).toMatchObject({ type: 'submitted', image: { uploaded: true } });
    expect(await storedImages()).not.toBe(before);
  });
});
