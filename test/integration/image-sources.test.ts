import { execa } from 'execa';
import { createHash } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pack } from 'tar-stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { collect } from '../support/chunks.js';
import { errorOf, farRoot, hpcrun, makeProject, onLogin, pythonDockerfile, sandboxCluster } from './lab.js';

/** A cluster nothing is known of: the sandbox with a root of its own. */
async function unknownCluster(root: string) {
  const { port, identityFile, knownHostsFile } = await sandboxCluster();
  await onLogin(`chmod -R u+w ${root} 2>/dev/null; rm -rf ${root}`);
  return { host: '127.0.0.1', user: 'researcher', port, identityFile, knownHostsFile, root, pollSeconds: 2 };
}

interface Submitted {
  runId: string;
  image: { sha256: string; sizeBytes: number; built: boolean; converted: boolean; uploaded: boolean };
}

async function submit(
  project: string,
  ...words: string[]
): Promise<{ submitted: Submitted; log: string; stderr: string }> {
  const result = await hpcrun(['submit', '--json', '--wait', ...words], { cwd: project });
  const submitted = result.objects[0] as unknown as Submitted;
  const { stdout: log } = await hpcrun(['logs', '@last'], { cwd: project });
  expect(`${result.stderr}${log}`).not.toMatch(/FATAL|"type":"error"/);
  expect(result.exitCode).toBe(0);
  return { submitted, log, stderr: result.stderr };
}

describe('an image that changes from run to run', () => {
  const root = '/home/researcher/changing';
  let project: string;
  const lineOf = (line: string) => `${pythonDockerfile}RUN echo '${line}' >/opt/line\n`;

  beforeAll(async () => {
    const clusters = { fresh: await unknownCluster(root) };
    project = await makeProject({
      'hpcrun.yaml': JSON.stringify({ cluster: 'fresh', clusters }),
      'cat.sh': 'cat /opt/line\n',
    });
  });

  it('goes as one SIF in gzip as long as nothing is known of the cluster, and the first job finds out', async () => {
    await writeFile(join(project, 'Dockerfile'), lineOf('one'));
    const { submitted, log } = await submit(project, 'cat.sh');
    expect(log).toBe('one');
    expect(submitted.image).toMatchObject({ converted: true, uploaded: true });
    const kernel = (await execa('uname', ['-r'])).stdout;
    const found = (await onLogin(`cat ${root}/containers`)).split('\n');
    expect(found.slice(0, 2)).toEqual(['overlays yes', 'zstd yes']);
    expect(found[2]).toMatch(/^container apptainer version \d/);
    expect(found.slice(3, 5)).toEqual([`kernel ${kernel}`, 'driver ']);
    expect(found[5]).toMatch(/^internet (?:yes|no)$/);
  });

  it('then goes as a small overlay', async () => {
    await writeFile(join(project, 'Dockerfile'), lineOf('two'));
    const { submitted, log } = await submit(project, 'cat.sh');
    expect(log).toBe('two');
    expect(submitted.image).toMatchObject({ built: true, converted: true, uploaded: true });
    const sizes = await onLogin(`cd ${root}/images && stat -c '%s %n' *.sqfs`);
    expect(sizes).toMatch(/^\d+ [0-9a-f]{64}\.sqfs$/);
    expect(Number(sizes.split(' ')[0])).toBeLessThan(100_000);
    expect(await onLogin(`ls ${root}/images | grep -c sif`)).toBe('1');
  });

  it('goes nowhere when it has not changed, and the older one is still there', async () => {
    const { submitted } = await submit(project, 'cat.sh');
    expect(submitted.image).toMatchObject({ built: false, converted: false, uploaded: false });
    await writeFile(join(project, 'Dockerfile'), lineOf('one'));
    const back = await submit(project, 'cat.sh');
    expect(back.log).toBe('one');
    expect(back.submitted.image).toMatchObject({ converted: false, uploaded: false });
  });

  it('is sent again where a clean-up has taken one of its files', async () => {
    await writeFile(join(project, 'Dockerfile'), lineOf('two'));
    await onLogin(`rm -f ${root}/images/*.sqfs`);
    const { submitted, log } = await submit(project, 'cat.sh');
    expect(log).toBe('two');
    expect(submitted.image).toMatchObject({ converted: false, uploaded: true });
  });
});

/** An image that says it is for another architecture, as `docker build --platform` on another machine makes it. */
async function loadForeignImage(name: string, architecture: string): Promise<void> {
  const layer = Buffer.alloc(10_240);
  const rootfs = { type: 'layers', diff_ids: [`sha256:${createHash('sha256').update(layer).digest('hex')}`] };
  const archive = pack();
  archive.entry({ name: 'layer.tar' }, layer);
  archive.entry({ name: 'config.json' }, JSON.stringify({ architecture, os: 'linux', config: {}, rootfs }));
  archive.entry(
    { name: 'manifest.json' },
    JSON.stringify([{ Config: 'config.json', RepoTags: [`${name}:latest`], Layers: ['layer.tar'] }]),
  );
  archive.finalize();
  await execa('docker', ['load'], { input: await collect(archive) });
}

describe('where an image comes from', () => {
  it('can be a name the engine knows, or a SIF', async () => {
    const project = await makeProject({ 'hpcrun.yaml': 'cluster: sandbox\nimage: {name: hpcrun-test/python}\n' });
    const named = await submit(project, '--', 'python3', '-c', 'print(6 * 7)');
    expect(named.log).toBe('42');
    expect(named.submitted.image.built).toBe(false);

    expect((await hpcrun(['convert', 'hpcrun-test/python', 'own.sif'], { cwd: project })).exitCode).toBe(0);
    await writeFile(join(project, 'hpcrun.yaml'), 'cluster: sandbox\nimage: {sif: own.sif}\n');
    await writeFile(join(project, '.hpcrunignore'), '*.sif\n');
    await writeFile(join(project, 'answer.py'), 'print(7 * 8)\n');
    const { log, submitted } = await submit(project, 'answer.py');
    expect(log).toBe('56');
    expect(submitted.image).toMatchObject({ built: false, converted: false });
    await rm(join(project, 'own.sif'));
    const missing = await hpcrun(['submit', '--json', 'answer.py'], { cwd: project });
    expect(errorOf(missing)).toMatchObject({ code: 'IMAGE_NOT_FOUND' });
  });

  it('says at once that a name is unknown or a file is no SIF', async () => {
    const project = await makeProject({ 'hpcrun.yaml': 'cluster: sandbox\nimage: {name: hpcrun-test/unknown}\n' });
    const unknown = await hpcrun(['submit', '--json', '--', 'true'], { cwd: project });
    expect(unknown.exitCode).toBe(3);
    expect(errorOf(unknown)).toMatchObject({ code: 'IMAGE_NOT_FOUND' });
    await writeFile(join(project, 'hpcrun.yaml'), 'cluster: sandbox\nimage: {sif: hpcrun.yaml}\n');
    const noSif = await hpcrun(['submit', '--json', '--', 'true'], { cwd: project });
    expect(noSif.exitCode).toBe(3);
    expect(errorOf(noSif).message).toContain('not a SIF');
  });

  it('is refused for another architecture before anything is copied', async () => {
    const project = await makeProject({ 'hpcrun.yaml': 'cluster: sandbox\nimage: {name: hpcrun-test/arm}\n' });
    await loadForeignImage('hpcrun-test/arm', 'arm64');
    const refused = await hpcrun(['submit', '--json', '--', 'true'], { cwd: project });
    expect(refused.exitCode).toBe(3);
    expect(errorOf(refused)).toMatchObject({ code: 'PLATFORM_MISMATCH' });
    expect(errorOf(refused).hint).toContain('platform: linux/amd64');
    expect(refused.stderr).not.toContain('Upload');
  });

  it('can be converted by Apptainer on the cluster, and ENV is still what the Dockerfile says', async () => {
    const value = `a "b" $HOME (c) \`d\` it's`;
    const project = await makeProject({
      Dockerfile: `FROM hpcrun-test/python\nENV TRICKY="${value.replaceAll(/["$\\]/g, '\\$&')}"\n`,
      'hpcrun.yaml': 'cluster: sandbox\n',
      'show.py': 'import os\nprint(os.environ["TRICKY"])\n',
    });
    const { submitted, log } = await submit(project, '--convert', 'remote', 'show.py');
    expect(log).toBe(value);
    expect(submitted.image).toMatchObject({ converted: true, uploaded: false });
    const again = await submit(project, '--convert', 'remote', 'show.py');
    expect(again.submitted.image).toMatchObject({ sha256: submitted.image.sha256, converted: false });

    // A clean-up of the site's takes it; the submission after the one that finds out makes it anew.
    await onLogin(`rm -f ${farRoot}/images/${submitted.image.sha256}.sif`);
    const gone = await hpcrun(['submit', '--json', '--convert', 'remote', 'show.py'], { cwd: project });
    expect(errorOf(gone)).toMatchObject({ code: 'TRANSFER_FAILED', hint: 'Submit again: it is then made anew.' });
    expect((await submit(project, '--convert', 'remote', 'show.py')).submitted.image.converted).toBe(true);
  });

  it('shows and removes what is kept on this machine', async () => {
    const project = await makeProject({});
    const env = { XDG_CACHE_HOME: join(project, 'cache') };
    expect((await hpcrun(['images', '--local'], { cwd: project, env })).stderr).toContain('Nothing has been converted');
    await hpcrun(['convert', 'hpcrun-test/python', 'a.sif'], { cwd: project, env });
    const listed = await hpcrun(['images', '--local', '--json'], { cwd: project, env });
    expect(listed.objects).toMatchObject([{ type: 'image', name: 'hpcrun-test/python', compression: 'gzip' }]);
    expect((await hpcrun(['images', '--local'], { cwd: project, env })).stdout).toMatch(
      /^IMAGE .*\nhpcrun-test\/python /,
    );
    const dry = await hpcrun(['prune', '--local', '--all', '--dry-run', '--json'], { cwd: project, env });
    expect(dry.objects).toMatchObject([{ type: 'pruned' }, { type: 'prune', dryRun: true, afterBytes: 0 }]);
    expect((await hpcrun(['prune', '--local'], { cwd: project, env })).stderr).toContain('Nothing to remove');
    expect((await hpcrun(['prune', '--local', '--all'], { cwd: project, env })).stdout).toContain(
      'Removed hpcrun-test/python',
    );
    expect((await hpcrun(['images', '--local', '--json'], { cwd: project, env })).objects).toEqual([]);
  });
});
