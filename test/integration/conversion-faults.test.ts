import { execa } from 'execa';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorOf, hpcrun, startHpcrun } from './lab.js';

const image = 'hpcrun-test/python';
let scratch: string;
let whole: Buffer;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'hpcrun-faults-'));
  expect((await hpcrun(['convert', image, 'whole.sif'], inScratch({}))).exitCode).toBe(0);
  whole = await readFile(join(scratch, 'whole.sif'));
});
afterAll(async () => {
  // What a victim has left running may still be writing there.
  await rm(scratch, { recursive: true, force: true, maxRetries: 10, retryDelay: 500 });
});

const inScratch = (env: Record<string, string>) => ({
  cwd: scratch,
  env: { XDG_CACHE_HOME: join(scratch, 'cache'), ...env },
});

async function freshCache(): Promise<Record<string, string>> {
  return { XDG_CACHE_HOME: await mkdtemp(join(scratch, 'cache-')) };
}

const pathOfDocker = async () => (await execa('sh', ['-c', 'command -v docker'])).stdout;
const exportContainers = async () =>
  (await execa('docker', ['ps', '--all', '--quiet', '--filter', 'label=hpcrun.export'])).stdout;

/** Files under names that somebody could take for finished ones. */
async function finishedFiles(): Promise<string[]> {
  return (await readdir(scratch)).filter(
    (name) => !name.startsWith('.') && name.endsWith('.sif') && name !== 'whole.sif',
  );
}

async function expectSuccess(env: Record<string, string>): Promise<void> {
  const again = await hpcrun(['convert', '--force', image, 'again.sif'], inScratch(env));
  expect(again.exitCode).toBe(0);
  expect((await readFile(join(scratch, 'again.sif'))).equals(whole)).toBe(true);
  await rm(join(scratch, 'again.sif'));
}

describe('a conversion that is cut off', () => {
  it('leaves no half SIF when it is killed at any moment, and the next one succeeds', async () => {
    const env = await freshCache();
    const startedAt = Date.now();
    expect((await hpcrun(['convert', image, 'timed.sif'], inScratch(await freshCache()))).exitCode).toBe(0);
    const duration = Date.now() - startedAt;
    await rm(join(scratch, 'timed.sif'));
    for (let moment = 1; moment <= 10; moment += 1) {
      const victim = startHpcrun(['convert', '--no-cache', image, 'killed.sif'], inScratch(env));
      await sleep((duration * (moment + Math.random())) / 12);
      victim.kill('SIGKILL');
      const { exitCode } = await victim;
      // A victim that was faster than expected has finished its file, perhaps a moment before its end, and that one is right.
      const finished = await finishedFiles();
      const isRight = finished.length > 0 && (await readFile(join(scratch, 'killed.sif'))).equals(whole);
      await rm(join(scratch, 'killed.sif'), { force: true });
      expect(finished).toEqual(exitCode === 0 || isRight ? ['killed.sif'] : []);
      expect(isRight).toBe(finished.length > 0);
    }
    await expectSuccess(env);
  });

  it('ends in order at Ctrl-C, with nothing left behind', async () => {
    const env = await freshCache();
    const before = await exportContainers();
    const victim = startHpcrun(['convert', image, 'stopped.sif'], inScratch(env));
    await expect.poll(exportContainers, { timeout: 30_000, interval: 50 }).not.toBe(before);
    victim.kill('SIGINT');
    expect((await victim).exitCode).toBe(130);
    expect(await finishedFiles()).toEqual([]);
    expect(await exportContainers()).toBe(before);
    expect(await readdir(join(env.XDG_CACHE_HOME ?? '', 'hpcrun', 'sif'))).toEqual([]);
  });
});

describe('a conversion that cannot go on', () => {
  it('says that the disk is full, removes what it wrote and succeeds when there is room', async (context) => {
    const small = await mkdtemp(join(scratch, 'small-'));
    const mounted = await execa('mount', ['-t', 'tmpfs', '-o', 'size=20m', 'tmpfs', small], { reject: false });
    if (mounted.exitCode !== 0) return context.skip(`a small file system cannot be mounted here: ${mounted.stderr}`);
    try {
      const failed = await hpcrun(['convert', '--json', image, 'full.sif'], inScratch({ XDG_CACHE_HOME: small }));
      expect(failed.exitCode).toBe(4);
      expect(errorOf(failed)).toMatchObject({ code: 'CONVERSION_FAILED' });
      expect(errorOf(failed).message).toMatch(/no space left|disk is full/i);
      expect(errorOf(failed).hint).toContain('free some space');
      expect(await readdir(join(small, 'hpcrun', 'sif'))).toEqual([]);

      const elsewhere = await hpcrun(['convert', '--json', image, join(small, 'out.sif')], inScratch({}));
      expect(elsewhere.exitCode).toBe(4);
      expect(errorOf(elsewhere)).toMatchObject({ code: 'CONVERSION_FAILED' });
      expect((await readdir(small)).filter((name) => name.includes('out.sif'))).toEqual([]);
    } finally {
      await execa('umount', [small]);
    }
    await expectSuccess(await freshCache());
  });

  it('says so when mksquashfs dies, with its last words or its signal', async () => {
    const env = await freshCache();
    const victim = startHpcrun(['convert', '--json', image, 'dead.sif'], inScratch(env));
    const children = async () =>
      (await execa('pgrep', ['-P', String(victim.pid), 'mksquashfs'], { reject: false })).stdout;
    await expect.poll(children, { timeout: 30_000, interval: 50 }).toMatch(/^\d+$/m);
    await sleep(300);
    process.kill(Number((await children()).split('\n')[0]), 'SIGKILL');
    const { exitCode, stderr } = await victim;
    expect(exitCode).toBe(4);
    expect(stderr).toContain('mksquashfs');
    expect(stderr).toContain('SIGKILL');
    expect(await finishedFiles()).toEqual([]);
    await expectSuccess(env);
  });

  it('says what to install where there is neither mksquashfs nor a container for it', async () => {
    const bin = await mkdtemp(join(scratch, 'bin-'));
    await symlink(process.execPath, join(bin, 'node'));
    // An engine that knows images but cannot build any: without a registry and without the base image.
    const docker = join(bin, 'docker');
    const real = await pathOfDocker();
    await writeFile(
      docker,
      `#!/bin/sh\ncase $1 in build) echo "no such host" >&2; exit 1 ;; image) case $* in *mksquashfs*) echo "No such image" >&2; exit 1 ;; esac ;; esac\nexec ${real} "$@"\n`,
      { mode: 0o755 },
    );
    await symlink('/bin/sh', join(bin, 'sh'));
    const env = { ...(await freshCache()), PATH: bin };
    const failed = await hpcrun(['convert', '--json', image, 'none.sif'], inScratch(env));
    expect(failed.exitCode).toBe(4);
    expect(errorOf(failed)).toMatchObject({ code: 'MKSQUASHFS_MISSING' });
    expect(errorOf(failed).hint).toContain('squashfs-tools');
  });

  it('says so when the engine goes away in the middle', async () => {
    const env = await freshCache();
    const { server, path, cut } = await proxyOfEngine();
    try {
      const victim = startHpcrun(
        ['convert', '--json', image, 'gone.sif'],
        inScratch({ ...env, DOCKER_HOST: `unix://${path}` }),
      );
      await expect.poll(() => cut.bytes, { timeout: 30_000, interval: 20 }).toBeGreaterThan(20e6);
      cut.now();
      const result = await victim;
      expect([3, 4]).toContain(result.exitCode);
      const { exitCode, stdout, stderr } = result;
      const { code, hint } = errorOf({ exitCode, stdout, stderr, objects: [] });
      expect(['ENGINE_FAILED', 'CONVERSION_FAILED']).toContain(code);
      expect(hint).toContain('docker');
      expect(await finishedFiles()).toEqual([]);
    } finally {
      server.close();
    }
    await expectSuccess(env);
  });

  it('says so when the engine is not running, and when there is no such image', async () => {
    const stopped = await hpcrun(
      ['convert', '--json', image, 'x.sif'],
      inScratch({ DOCKER_HOST: `unix://${scratch}/nothing` }),
    );
    expect(stopped.exitCode).toBe(3);
    expect(errorOf(stopped)).toMatchObject({ code: 'ENGINE_FAILED' });
    const missing = await hpcrun(['convert', '--json', 'hpcrun-test/no-such-image', 'x.sif'], inScratch({}));
    expect(missing.exitCode).toBe(3);
    expect(errorOf(missing)).toMatchObject({ code: 'IMAGE_NOT_FOUND' });
    const misspelt = await hpcrun(['convert', '--json', '--engine', 'dokcer', image, 'x.sif'], inScratch({}));
    expect(misspelt.exitCode).toBe(2);
  });

  it('is not disturbed by the removal of the image half-way', async () => {
    const env = await freshCache();
    const id = await distinctImage();
    const before = await exportContainers();
    const victim = startHpcrun(['convert', '--json', id, 'removed.sif'], inScratch(env));
    // Those of victims are removed, and then the own one comes.
    const isThere = async () => {
      const now = await exportContainers();
      return now !== before && /^\w+$/.test(now);
    };
    await expect.poll(isThere, { timeout: 30_000, interval: 20 }).toBe(true);
    await execa('docker', ['image', 'rm', '--force', id], { reject: false });
    const { exitCode, stdout } = await victim;
    // The engine keeps the layers for as long as the container that is exported has them.
    expect(exitCode).toBe(0);
    expect(stdout).toContain('"how":"converted"');
    const after = await hpcrun(['convert', '--json', id, 'x.sif'], inScratch(env));
    if (after.exitCode !== 0) expect(errorOf(after)).toMatchObject({ code: 'IMAGE_NOT_FOUND' });
  });
});

/** The real engine behind a socket that can be cut. */
async function proxyOfEngine(): Promise<{ server: Server; path: string; cut: { bytes: number; now: () => void } }> {
  const path = join(scratch, 'engine.sock');
  const sockets = new Set<Socket>();
  const cut = {
    bytes: 0,
    now: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  const server = createServer((client) => {
    const engine = connect('/var/run/docker.sock');
    for (const socket of [client, engine]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
    }
    engine.on('data', (chunk: Buffer) => (cut.bytes += chunk.length));
    client.pipe(engine);
    engine.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { server, path, cut };
}

async function distinctImage(): Promise<string> {
  const context = await mkdtemp(join(scratch, 'context-'));
  await mkdir(context, { recursive: true });
  await writeFile(join(context, 'Dockerfile'), `FROM ${image}\nRUN head -c 30000000 /dev/urandom >/opt/random\n`);
  await execa('docker', ['build', '--quiet', '--tag', 'hpcrun-test/removed', context]);
  return (await execa('docker', ['image', 'inspect', '--format', '{{.Id}}', 'hpcrun-test/removed'])).stdout;
}
