import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { farRoot, hpcrun, makeProject, makePythonProject, onLogin, sandboxCluster, type CommandResult } from './lab.js';

interface Finding {
  section: string;
  name: string;
  verdict: string;
  message: string;
  remedy: string | null;
  code: string | null;
}

function findingsOf({ objects }: CommandResult): Finding[] {
  return objects.filter(({ type }) => type === 'finding') as unknown as Finding[];
}

function problemsOf(result: CommandResult) {
  return findingsOf(result).filter(({ verdict }) => verdict === 'problem');
}

/** Nothing of a doctor's visit stays on the cluster: no directory, no job. */
async function expectNothingLeft(root = farRoot): Promise<void> {
  expect(await onLogin(`find ${root} -maxdepth 1 -name '.doctor-*' 2>/dev/null`)).toBe('');
  expect(await onLogin('squeue -h -n hpcrun-doctor -t PENDING,RUNNING,SUSPENDED -o %i')).toBe('');
}

/** The sandbox under another name: with nothing known of it, and what a test wants to be different. */
async function otherCluster(cluster: Record<string, unknown>) {
  const { port, identityFile, knownHostsFile } = await sandboxCluster();
  return { host: '127.0.0.1', user: 'researcher', port, identityFile, knownHostsFile, pollSeconds: 2, ...cluster };
}

/** Sends an image that is on no cluster and returns the compression in its squashfs's superblock: 1 is gzip, 6 is zstd. */
async function compressionOfPush(config: string, root: string): Promise<string> {
  const dockerfile = `FROM debian:trixie-slim\nRUN echo ${randomBytes(8).toString('hex')} >/fresh\n`;
  const project = await makeProject({ Dockerfile: dockerfile, 'hpcrun.yaml': config });
  const pushed = await hpcrun(['push', '--json', '--no-cache'], { cwd: project });
  const { parts } = pushed.objects[0] as { parts: { sha256: string }[] };
  const image = `${root}/images/${parts[0]?.sha256 ?? ''}.sif`;
  return (await onLogin(`od -An -tu2 -j ${32_768 + 20} -N 2 ${image}`)).trim();
}

describe('hpcrun doctor', () => {
  it('finds everything fine, and what it has learned of zstd is used for the next image', async () => {
    const root = '/home/researcher/unknown';
    const config = JSON.stringify({
      cluster: 'unknown',
      resources: { gpus: 1, time: '10m' },
      clusters: { unknown: await otherCluster({ root }) },
    });
    expect(await compressionOfPush(config, root)).toBe('1');

    const project = await makePythonProject({ 'hpcrun.yaml': config });
    const result = await hpcrun(['doctor', '--json', '--patience', '10m'], { cwd: project });
    expect(problemsOf(result)).toEqual([]);
    expect(result.exitCode).toBe(0);
    const findings = findingsOf(result);
    expect([...new Set(findings.map(({ section }) => section))]).toEqual([
      ...['machine', 'login', 'slurm', 'storage', 'containers', 'project'],
    ]);
    const messageOf = (name: string) => findings.find((finding) => finding.name === name)?.message;
    expect(messageOf('accounts')).toBe('accounts: research');
    expect(messageOf('job')).toMatch(/^a container ran in a job on c[12]: apptainer version \d/);
    expect(messageOf('zstd')).toContain('it reads zstd');
    expect(messageOf('sbatch')).toMatch(/^sbatch would take the job; now it would start at .* on c[12] in batch$/);
    expect(result.objects.at(-1)).toMatchObject({ type: 'doctor', problems: 0 });
    await expectNothingLeft(root);

    // No run was there to tell.
    expect(await compressionOfPush(config, root)).toBe('6');
  });

  it('says for everything that is wrong how to mend it, and what a submit would end with', async () => {
    const project = await makePythonProject({
      'hpcrun.yaml': JSON.stringify({
        cluster: 'sandbox',
        image: { dockerfile: 'no-such.Dockerfile' },
        binds: ['/no/such/place:/data', '/etc:/host-etc:ro'],
        secrets: ['HPCRUN_TEST_NOT_SET'],
        resources: { gpus: 64, time: '30d', account: 'nobody' },
      }),
    });
    const result = await hpcrun(['doctor', '--json', '--no-job'], { cwd: project });
    const problems = problemsOf(result);
    expect(problems.map(({ name, code }) => [name, code])).toEqual([
      ['image', 'DOCKERFILE_NOT_FOUND'],
      ['secrets', 'VARIABLE_MISSING'],
      ['time', 'SLURM_REFUSED'],
      ['gpus', 'SLURM_REFUSED'],
      ['account', 'SLURM_REFUSED'],
      ['sbatch', 'SLURM_REFUSED'],
      ['bind', 'BIND_SOURCE_MISSING'],
    ]);
    for (const { remedy } of problems) expect(remedy).toMatch(/\S/);
    expect(problems[4]?.remedy).toContain('research');
    expect(findingsOf(result)).toContainEqual(
      expect.objectContaining({ name: 'bind', verdict: 'ok', message: 'binds have their sources: /etc' }),
    );
    expect(result.exitCode).toBe(2);
    expect(result.objects.at(-1)).toMatchObject({ type: 'doctor', problems: 7 });
  });

  it('is written for people where nobody asks for JSON, without colours where there is no terminal', async () => {
    const project = await makePythonProject({ 'hpcrun.yaml': 'cluster: sandbox\nresources: {partition: nowhere}\n' });
    const { stdout, exitCode } = await hpcrun(['doctor', '--no-job'], { cwd: project });
    expect(exitCode).toBe(7);
    expect(stdout).toMatch(/^This machine\n {2}✓ Docker answers/);
    expect(stdout).toMatch(/\nSLURM\n {2}✓ SLURM 24\.11/);
    expect(stdout).toContain('  ✗ there is no partition nowhere\n    → There are batch, devel: choose');
    expect(stdout).toMatch(/\n2 problems.* Mend them/);
    expect(stdout).not.toContain('\u001b');
  });

  it('goes as far as it gets: no project, a cluster that does not answer, a broken hpcrun.yaml', async () => {
    const nowhere = await hpcrun(['doctor', '--json', '--no-job'], { cwd: await makeProject({}) });
    expect(nowhere.exitCode).toBe(0);
    expect(findingsOf(nowhere)).toContainEqual(expect.objectContaining({ section: 'project', verdict: 'skipped' }));

    const silent = await makeProject({
      'hpcrun.yaml': 'clusters: {other: {host: 127.0.0.1, port: 1}}\n',
      Dockerfile: '',
    });
    const unreachable = await hpcrun(['doctor', '--json'], { cwd: silent });
    expect(unreachable.exitCode).toBe(5);
    expect(problemsOf(unreachable)).toMatchObject([{ name: 'connection', code: 'CONNECTION_FAILED' }]);
    const skipped = findingsOf(unreachable).filter(({ verdict }) => verdict === 'skipped');
    expect(skipped.map(({ section }) => section)).toEqual(['slurm', 'storage', 'containers']);

    await writeFile(join(silent, 'hpcrun.yaml'), 'resorces: {}\n');
    const broken = await hpcrun(['doctor', '--json'], { cwd: silent });
    expect(broken.exitCode).toBe(2);
    expect(problemsOf(broken)).toMatchObject([{ section: 'project', name: 'configuration', code: 'CONFIG_INVALID' }]);
  });

  it('tells a container program that is not on the compute nodes, and a place that cannot be written', async () => {
    const project = async (cluster: Record<string, unknown>) =>
      await makeProject({
        'hpcrun.yaml': JSON.stringify({ cluster: 'c', clusters: { c: await otherCluster(cluster) } }),
        Dockerfile: '',
      });
    const missing = await hpcrun(['doctor', '--json', '--patience', '10m'], {
      cwd: await project({ container: { command: 'no-such' } }),
    });
    expect(problemsOf(missing)).toMatchObject([{ section: 'containers', code: 'CONTAINER_UNUSABLE' }]);
    expect(problemsOf(missing)[0]?.message).toMatch(/^no container runs on c[12]: there is no no-such/);
    expect(missing.exitCode).toBe(7);
    await expectNothingLeft();

    const forbidden = await hpcrun(['doctor', '--json'], { cwd: await project({ root: '/etc/hpcrun' }) });
    expect(problemsOf(forbidden)).toMatchObject([{ section: 'storage', name: 'root' }]);
    expect(findingsOf(forbidden)).toContainEqual(expect.objectContaining({ name: 'job', verdict: 'skipped' }));
  });

  it('cancels its job where the queue is longer than its patience', async () => {
    const project = await makePythonProject({ 'hpcrun.yaml': 'cluster: sandbox\nresources: {partition: devel}\n' });
    await onLogin('scontrol update nodename=c1 state=drain reason=test', 'root');
    try {
      const result = await hpcrun(['doctor', '--json', '--patience', '3s'], { cwd: project });
      const job = findingsOf(result).find(({ section, name }) => section === 'containers' && name === 'job');
      expect(job).toMatchObject({
        verdict: 'warning',
        message: expect.stringContaining('did not start in time (PENDING') as string,
      });
      expect(job?.remedy).toContain('--patience');
      await expectNothingLeft();
    } finally {
      await onLogin('scontrol update nodename=c1 state=resume', 'root');
    }
  });
});
