import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { errorOf, hpcrun, makePythonProject, onLogin, sandboxCluster } from './lab.js';

const root = '/home/researcher/house-keeping';
let project = '';
let sha256 = '';

/** Submits, and returns the first object and the exit status. */
async function submit(...args: string[]) {
  const result = await hpcrun(['submit', '--json', ...args], { cwd: project });
  return { exitCode: result.exitCode, stderr: result.stderr, ...(result.objects[0] ?? {}) } as {
    exitCode: number;
    stderr: string;
    runId: string;
    image: { sha256: string; uploaded: boolean };
  };
}

const images = async () => (await hpcrun(['images', '--json'], { cwd: project })).objects;

beforeAll(async () => {
  project = await makePythonProject({
    'ok.py': 'print("ok")\n',
    'slow.py': 'import time\ntime.sleep(600)\n',
  });
  const clusters = { keeping: { ...(await sandboxCluster()), root } };
  await writeFile(join(project, 'hpcrun.yaml'), JSON.stringify({ cluster: 'keeping', clusters }));
  sha256 = (await submit('--wait', 'ok.py')).image.sha256;
});

describe('house-keeping', () => {
  it('shows what is there and what uses it', async () => {
    expect(await images()).toMatchObject([{ place: 'cluster', sha256, kind: 'sif', runs: 1, liveJobs: 0 }]);
    const table = await hpcrun(['images'], { cwd: project });
    expect(table.stdout).toMatch(new RegExp(`^IMAGE .*\\n\\S+ +${sha256.slice(0, 12)} .* SIF +1 `));
    expect(table.stderr).toMatch(/1 image with .* free/);
  });

  it('removes nothing that a running job needs, however old it is and whatever is asked for', async () => {
    const slow = await submit('slow.py');
    // Old in every respect but for the job.
    await onLogin(`touch -d '90 days ago' ${root}/images/* ${root}/uses/* ${root}/code/* 2>/dev/null || true`);
    const rmi = await hpcrun(['rmi', '--yes', '--force', '--json', sha256.slice(0, 8)], { cwd: project });
    expect(rmi.exitCode).toBe(2);
    expect(errorOf(rmi).code).toBe('IMAGE_IN_USE');
    const prune = await hpcrun(['prune', '--all', '--older-than', '1s', '--yes', '--json'], { cwd: project });
    expect(prune.exitCode).toBe(0);
    expect(await onLogin(`ls ${root}/runs`)).toBe(slow.runId);
    expect((await images()).map((image) => image.sha256)).toEqual([sha256]);
    expect((await hpcrun(['cancel', slow.runId], { cwd: project })).exitCode).toBe(0);
    await hpcrun(['wait', slow.runId], { cwd: project });
  });

  it('asks, shows what would go without touching it, and then removes it', async () => {
    await onLogin(`touch -d '90 days ago' ${root}/images/* ${root}/uses/* ${root}/runs/*/state/* 2>/dev/null || true`);
    const before = await onLogin(`find ${root} | sort`);
    const asked = await hpcrun(['prune', '--older-than', '30d', '--json'], { cwd: project });
    expect(asked.exitCode).toBe(2);
    expect(errorOf(asked)).toMatchObject({ code: 'INPUT_NEEDED', hint: expect.stringContaining('--yes') as string });
    const dry = await hpcrun(['prune', '--older-than', '30d', '--dry-run', '--json'], { cwd: project });
    expect(await onLogin(`find ${root} | sort`)).toBe(before);
    const kinds = (objects: Record<string, unknown>[]) =>
      objects.filter(({ type, place }) => type === 'pruned' && place === 'cluster').map(({ kind }) => kind);
    expect(kinds(dry.objects)).toEqual(expect.arrayContaining(['run', 'image']));
    const done = await hpcrun(['prune', '--older-than', '30d', '--yes', '--json'], { cwd: project });
    expect(kinds(done.objects)).toEqual(kinds(dry.objects));
    expect(await images()).toEqual([]);
    expect(await onLogin(`ls ${root}/runs`)).toBe('');
    const again = await hpcrun(['prune', '--older-than', '30d', '--yes', '--json'], { cwd: project });
    expect(kinds(again.objects)).toEqual([]);
    expect(await submit('--wait', 'ok.py')).toMatchObject({ exitCode: 0, image: { sha256, uploaded: true } });
  });

  it('finds a damaged image: the job refuses it, --verify sets it aside, the next submit sends it anew', async () => {
    const path = `${root}/images/${sha256}.sif`;
    await onLogin(
      `chmod u+w ${path}; printf X | dd of=${path} bs=1 seek=32 conv=notrunc 2>/dev/null; chmod u-w ${path}`,
    );
    const refused = await hpcrun(['submit', '--wait', 'ok.py'], { cwd: project });
    expect(refused.exitCode).toBe(255);
    expect(refused.stdout + refused.stderr).toContain('is missing or damaged');
    const verified = await hpcrun(['images', '--verify', '--json'], { cwd: project });
    expect(verified.exitCode).toBe(6);
    expect(errorOf(verified).code).toBe('IMAGE_DAMAGED');
    expect(verified.objects).toMatchObject([{ type: 'damaged', sha256, setAside: true }, { type: 'verified' }]);
    expect(await submit('--wait', 'ok.py')).toMatchObject({ exitCode: 0, image: { sha256, uploaded: true } });
    expect((await hpcrun(['images', '--verify'], { cwd: project })).exitCode).toBe(0);
    await hpcrun(['prune', '--yes'], { cwd: project });
    expect(await onLogin(`ls -A ${root}/images | grep -c damaged || true`)).toBe('0');
  });
});
