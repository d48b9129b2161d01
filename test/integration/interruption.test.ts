import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { hpcrun, makePythonProject, onLogin, sandboxCluster, startHpcrun } from './lab.js';

/** A project whose cluster is the sandbox with a root of its own, so that its image has to be uploaded. */
async function freshRoot(name: string): Promise<{ project: string; root: string }> {
  const project = await makePythonProject({ 'ok.py': 'print("ok")\n', Dockerfile: largeDockerfile });
  const root = `/home/researcher/${name}`;
  await onLogin(`chmod -R u+w ${root} 2>/dev/null; rm -rf ${root}`);
  return { project, root };
}

// Incompressible, so that the upload takes long enough to be hit.
const largeDockerfile = `FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
RUN head -c 300000000 /dev/urandom >/large
`;

describe('hpcrun killed in the middle of an upload', () => {
  it('leaves nothing that is used, and the next submit succeeds', async () => {
    const { project, root } = await freshRoot('killed');
    const { port, identityFile, knownHostsFile } = await sandboxCluster();
    const cluster = {
      host: '127.0.0.1',
      user: 'researcher',
      port,
      identityFile,
      knownHostsFile,
      root,
      compression: 'zstd',
      pollSeconds: 2,
    };
    await writeFile(`${project}/hpcrun.yaml`, JSON.stringify({ cluster: 'own', clusters: { own: cluster } }));

    const victim = startHpcrun(['submit', 'ok.py'], { cwd: project });
    await expect
      .poll(() => onLogin(`ls -A ${root}/images/.incoming-*/done.* 2>/dev/null || true`), {
        timeout: 120_000,
        interval: 20,
      })
      .toMatch(/done/);
    victim.kill('SIGKILL');
    await victim;
    // What has arrived is kept for the next attempt, and nobody holds it any more.
    expect(await onLogin(`ls ${root}/images`)).toBe('');
    await expect.poll(() => onLogin(`find ${root}/images -name lock`), { timeout: 20_000 }).toBe('');
    expect(await onLogin(`ls -A ${root}/runs 2>/dev/null || true`)).toBe('');

    const again = await hpcrun(['submit', '--json', '--wait', 'ok.py'], { cwd: project });
    expect(again.exitCode).toBe(0);
    expect(again.objects[0]).toMatchObject({ image: { built: false, converted: false, uploaded: true } });
    const { image } = again.objects[0] as { image: { sha256: string } };
    expect(await onLogin(`sha256sum <${root}/images/${image.sha256}.sif | cut -c1-64`)).toBe(image.sha256);
    expect(await onLogin(`find ${root}/images -name '.*' -mindepth 1`)).toBe('');
    await onLogin(`chmod -R u+w ${root}; rm -rf ${root}`);
  });

  it('stops at Ctrl-C with status 130', async () => {
    const project = await makePythonProject({ 'slow.py': 'import time\ntime.sleep(60)\n' });
    const waiting = startHpcrun(['submit', '--wait', 'slow.py'], { cwd: project });
    await expect
      .poll(async () => (await hpcrun(['status', '@last', '--json'], { cwd: project })).stdout, { timeout: 60_000 })
      .toContain('RUNNING');
    waiting.kill('SIGINT');
    expect((await waiting).exitCode).toBe(130);
    await sleep(500);
    // As with `docker run -d`, the job goes on without its watcher.
    expect((await hpcrun(['status', '@last', '--json'], { cwd: project })).objects).toMatchObject([
      { state: 'RUNNING' },
    ]);
    await hpcrun(['cancel', '@last'], { cwd: project });
  });
});
