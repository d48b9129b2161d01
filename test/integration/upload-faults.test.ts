import { execa } from 'execa';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { SlowLink } from '../support/slow-link.js';
import { errorOf, hpcrun, onLogin, sandboxCluster, startHpcrun, type CommandResult } from './lab.js';

// What may be sent again when an upload was broken off, and what SSH and the questions add to an image.
const resendBytes = 64e6;
const overheadBytes = 3e6;

const place = '/home/researcher/faults';
const root = `${place}/root`;
const images = `${root}/images`;

interface Image {
  path: string;
  sha256: string;
  sizeBytes: number;
}

let scratch: string;
/** The same sandbox behind a proxy that counts. */
let link: SlowLink;
/** Large enough to be hit while it travels. */
let image: Image;
/** Most of it is in `image`. */
let changed: Image;
/** Of files beside hpcrun's. */
let foreign: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'hpcrun-faults-'));
  const { port, identityFile, knownHostsFile } = await sandboxCluster();
  link = await SlowLink.open({ host: '127.0.0.1', port });
  const knownHosts = (await readFile(knownHostsFile, 'utf8')).replace(/^\S+/gm, `[127.0.0.1]:${link.port}`);
  await writeFile(join(scratch, 'known_hosts'), knownHosts);
  const own = { host: '127.0.0.1', port: link.port, user: 'researcher', identityFile };
  const cluster = { ...own, knownHostsFile: join(scratch, 'known_hosts'), root };
  await writeFile(join(scratch, 'hpcrun.yaml'), JSON.stringify({ cluster: 'own', clusters: { own: cluster } }));
  // Incompressible.
  image = await makeImage('large', 'FROM debian:trixie-slim\nRUN head -c 130000000 /dev/urandom >/large\n');
  changed = await makeImage('changed', 'FROM hpcrun-test/large\nRUN head -c 5000000 /dev/urandom >/more\n');
  await onLogin(`rm -rf ${place} && mkdir -p ${place}/foreign/images && cd ${place}/foreign &&
    for file in a b images/.incoming-1 images/x.sif; do head -c 10000 /dev/urandom >$file; done && ln -s a link`);
  foreign = await describeForeign();
});

afterEach(async () => {
  expect(await describeForeign()).toBe(foreign);
  await removeRoot();
});

afterAll(async () => {
  await link.close();
  await onLogin(`rm -rf ${place}`);
  await rm(scratch, { recursive: true, force: true });
  await execa('docker', ['image', 'rm', '--force', 'hpcrun-test/changed', 'hpcrun-test/large']);
});

async function makeImage(name: string, dockerfile: string): Promise<Image> {
  const tag = `hpcrun-test/${name}`;
  await execa('docker', ['build', '--tag', tag, '-'], { input: dockerfile });
  const path = join(scratch, `${name}.sif`);
  const converted = await hpcrun(['convert', '--json', '--no-overlays', tag, path], { cwd: scratch });
  expect(converted.exitCode).toBe(0);
  const { sha256, sizeBytes } = converted.objects[0] as unknown as Image;
  return { path, sha256, sizeBytes };
}

async function describeForeign(): Promise<string> {
  return await onLogin(
    `cd ${place}/foreign && find . -printf '%p %y %s %m %T@ %C@\\n' | sort && sha256sum a b images/*`,
  );
}

async function removeRoot(): Promise<void> {
  await onLogin(`chmod -R u+w ${root} 2>/dev/null; rm -rf ${root}`);
}

const push = ({ path }: Image, ...options: string[]) =>
  startHpcrun(['push', '--json', ...options, path], { cwd: scratch });

/** Pushes and returns how many bytes of the image were sent. */
async function pushAgain({ path }: Image, env: Record<string, string> = {}): Promise<number> {
  const { exitCode, stderr, objects } = await hpcrun(['push', '--json', path], { cwd: scratch, env });
  expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' });
  const [{ parts }] = objects as [{ parts: { sentBytes: number }[] }];
  return parts.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
}

/** It is bit for bit what it is here, and nothing unfinished lies beside it. */
async function expectStored({ sha256 }: Image): Promise<void> {
  expect(await onLogin(`sha256sum <${images}/${sha256}.sif | cut -c 1-64`)).toBe(sha256);
  expect(await onLogin(`ls -A ${images} | grep -E 'incoming|part' || true`)).toBe('');
}

/** Waits until so many bytes have gone to the cluster since `start`. */
async function awaitSent(start: number, bytes: number): Promise<void> {
  await expect.poll(() => link.bytes.up - start, { timeout: 60_000, interval: 10 }).toBeGreaterThan(bytes);
}

async function resultOf(victim: ReturnType<typeof startHpcrun>): Promise<CommandResult> {
  const { exitCode, stdout, stderr } = await victim;
  return { exitCode, stdout, stderr, objects: [] };
}

/** The same command again ends well, and little of what had arrived has been sent twice since `start`. */
async function expectResumed(start: number): Promise<void> {
  await pushAgain(image);
  await expectStored(image);
  expect(link.bytes.up - start).toBeLessThan(image.sizeBytes + resendBytes + overheadBytes);
}

describe('an upload that is broken off', () => {
  it('goes on when hpcrun was killed at any moment', { timeout: 300_000 }, async () => {
    const startedAt = performance.now();
    await pushAgain(image);
    const durationMs = performance.now() - startedAt;
    for (let moment = 0; moment < 25; moment += 1) {
      await removeRoot();
      const start = link.bytes.up;
      const victim = push(image);
      await sleep((durationMs * (moment + Math.random())) / 25);
      victim.kill('SIGKILL');
      await victim;
      await expectResumed(start);
    }
  });

  it('goes on when the session on the login node was killed', async () => {
    const start = link.bytes.up;
    const victim = push(image, '--bwlimit', '30M');
    await awaitSent(start, 80e6);
    await onLogin(`pkill -KILL -u researcher -f 'sshd-session: researcher@notty'`, 'root');
    const failed = await resultOf(victim);
    expect(failed.exitCode).toBe(5);
    expect(errorOf(failed).code).toBe('CONNECTION_LOST');
    await expectResumed(start);
  });

  it('goes on when the connection was reset on its way', async () => {
    const start = link.bytes.up;
    const victim = push(image, '--bwlimit', '30M');
    await awaitSent(start, 80e6);
    link.cut();
    const failed = await resultOf(victim);
    expect(failed.exitCode).toBe(5);
    expect(errorOf(failed).code).toBe('CONNECTION_LOST');
    await expectResumed(start);
  });
});

describe('a login node without a network', () => {
  /** Pulls the cable of the login container; the returned function puts it back as it was. */
  async function disconnect(): Promise<() => Promise<void>> {
    const gateway = await onLogin(`ip route show default | cut -d ' ' -f 3`, 'root');
    await onLogin('ip link set eth0 down', 'root');
    return async () => {
      await onLogin(`ip link set eth0 up && ip route add default via ${gateway}`, 'root');
    };
  }

  it('is waited for when it is back after 10 s', async () => {
    const start = link.bytes.up;
    const uploading = push(image, '--bwlimit', '30M');
    await awaitSent(start, 40e6);
    const reconnect = await disconnect();
    await sleep(10_000);
    await reconnect();
    const { exitCode, stderr } = await uploading;
    expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' });
    await expectResumed(start);
  });

  it('is given up when it does not come back, and the command goes on later', { timeout: 300_000 }, async () => {
    const start = link.bytes.up;
    const victim = push(image, '--bwlimit', '30M');
    await awaitSent(start, 80e6);
    const reconnect = await disconnect();
    let failed: CommandResult;
    try {
      failed = await resultOf(victim);
    } finally {
      await reconnect();
    }
    expect(failed.exitCode).toBe(5);
    expect(errorOf(failed).code).toMatch(/^CONNECTION_/);
    await expectResumed(start);
  });
});

describe('a file system of the cluster', () => {
  async function withSmallDisk(options: string, work: () => Promise<void>): Promise<void> {
    await onLogin(`mkdir -p ${root} && mount -t tmpfs -o uid=1500,gid=1500,mode=700,${options} tmpfs ${root}`, 'root');
    try {
      await work();
    } finally {
      await onLogin(`umount -l ${root}`, 'root');
    }
  }

  it('that is too small is said before anything is sent', async () => {
    await withSmallDisk('size=100m', async () => {
      const start = link.bytes.up;
      const refused = await resultOf(push(image));
      expect(refused.exitCode).toBe(6);
      expect(errorOf(refused).code).toBe('REMOTE_DISK_FULL');
      expect(link.bytes.up - start).toBeLessThan(overheadBytes);
    });
  });

  it('that becomes full in the middle keeps what has arrived', async () => {
    await withSmallDisk('size=250m', async () => {
      const start = link.bytes.up;
      const victim = push(image, '--bwlimit', '30M');
      await awaitSent(start, 60e6);
      await onLogin(`cat /dev/zero >${root}/filler 2>/dev/null || true`);
      const failed = await resultOf(victim);
      expect(failed.exitCode).toBe(6);
      expect(errorOf(failed)).toMatchObject({ code: 'REMOTE_DISK_FULL' });
      expect(errorOf(failed).hint).toContain('What has arrived is kept');
      await onLogin(`rm ${root}/filler`);
      await expectResumed(start);
    });
  });

  it('that is out of inodes is said before anything is sent', async () => {
    await withSmallDisk('size=400m,nr_inodes=60', async () => {
      await onLogin(`mkdir ${root}/many && cd ${root}/many && seq 50 | xargs touch`);
      const start = link.bytes.up;
      const refused = await resultOf(push(image));
      expect(refused.exitCode).toBe(6);
      expect(errorOf(refused).code).toBe('REMOTE_DISK_FULL');
      await onLogin(`rm -r ${root}/many`);
      await expectResumed(start);
    });
  });
});

describe('two hpcruns with the same image', () => {
  it('send it once', async () => {
    const start = link.bytes.up;
    const both = await Promise.all([push(image), push(image)].map(resultOf));
    expect(both.map(({ exitCode, stderr }) => (exitCode === 0 ? 'sent' : stderr))).toEqual(['sent', 'sent']);
    await expectResumed(start);
  });
});

describe('damage on the cluster', () => {
  /** Turns one bit of a stored file around. */
  async function flipBit(path: string, offset: number): Promise<void> {
    await onLogin(`chmod u+w ${path} && byte=$(od -An -tu1 -j ${offset} -N 1 ${path}) &&
      printf "\\\\$(printf %o $((byte ^ 16)))" | dd of=${path} bs=1 seek=${offset} conv=notrunc status=none`);
  }

  it('of an image is noticed before another one is made of it', async () => {
    await pushAgain(image);
    await flipBit(`${images}/${image.sha256}.sif`, Math.floor(image.sizeBytes / 2));
    await pushAgain(changed);
    await expectStored(changed);
    // What is damaged has been put aside, so that it can come again.
    await pushAgain(image);
    await expectStored(image);
  });

  it('of a chunk index costs bytes, never an image', async () => {
    await pushAgain(image);
    const index = `${images}/${image.sha256}.chunks`;
    const indexBytes = Number(await onLogin(`stat -c %s ${index}`));
    for (const offset of [0, 40, Math.floor(indexBytes / 2), indexBytes - 1]) {
      await flipBit(index, offset);
      // The index of this machine is not there to help.
      await pushAgain(changed, { XDG_CACHE_HOME: await mkdtemp(join(scratch, 'cache-')) });
      await expectStored(changed);
      await onLogin(`rm -f ${images}/${changed.sha256}.*`);
      await flipBit(index, offset);
    }
    // The flips did matter: with a whole index, only what is new is sent.
    const sentBytes = await pushAgain(changed, { XDG_CACHE_HOME: await mkdtemp(join(scratch, 'cache-')) });
    expect(sentBytes).toBeLessThan(changed.sizeBytes / 5);
  });
});
