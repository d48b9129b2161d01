import { execa } from 'execa';
import { createHash } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RemoteLayout } from '../../src/cluster/layout.js';
import type { Registry } from '../../src/config/schema.js';
import { HpcrunError } from '../../src/errors.js';
import { CliEngine } from '../../src/image/cli-engine.js';
import { renderContainerMetadata } from '../../src/image/container-metadata.js';
import type { ContainerEngine, ImageInfo } from '../../src/image/engine.js';
import { ensureHelperImage, spawnMksquashfs } from '../../src/image/helper-container.js';
import { chooseWay, makeWays } from '../../src/run/conversion/choose.js';
import type { ApptainerWay, ConversionContext, ConvertedFile, WayName } from '../../src/run/conversion/way-in.js';
import type { Connection } from '../../src/ssh/connection.js';
import { noPrompter } from '../../src/ssh/prompter.js';
import { openConnection } from '../../src/ssh/open-connection.js';
import { collect } from '../support/chunks.js';
import { failureOf } from '../support/failure.js';
import { loginContainer, onLogin, sandboxCluster } from './lab.js';

const root = '/home/researcher/conversion-test';
const engine = new CliEngine('docker');
const { signal } = new AbortController();
let connection: Connection;
/** A few megabytes, with what Apptainer's own conversion gets wrong. */
let small: ImageInfo;
/** Takes Apptainer some seconds, in which something can happen. */
let large: ImageInfo;
let scratch: string;

const tricky = 'a$(touch /tmp/executed)b `date` "q" \'x\' (p) $HOME \\n';
const smallDockerfile = `FROM debian:trixie-slim AS programs
RUN mkdir -p /small/app/closed && echo text >/small/app/closed/file && chmod 000 /small/app/closed/file && chmod 500 /small/app/closed && for program in dash env cat ls; do cp -L --parents /usr/bin/$program $(ldd /usr/bin/$program | grep -o '/[^ ]*') /small; done && cd /small && ln -s usr/bin bin && mkdir dev proc sys tmp root etc && touch etc/passwd etc/group etc/hosts etc/resolv.conf && ln -s dash /small/usr/bin/sh
FROM scratch
COPY --from=programs /small/ /
ENV PLAIN=1 EMPTY="" TRICKY="${tricky.replaceAll(/[\\"$]/g, '\\$&')}"
ENV PATH=/usr/bin:/bin:/app
`;

async function inspect(name: string): Promise<ImageInfo> {
  const info = await engine.inspect(name, { signal });
  if (!info) throw new Error(`there is no image ${name}`);
  return info;
}

function contextWith(changes: Partial<ConversionContext> = {}, registry?: Registry): ConversionContext {
  return {
    engine: () => Promise.resolve(engine),
    connect: () => Promise.resolve(connection),
    layout: () => Promise.resolve(new RemoteLayout(root)),
    cluster: { name: 'sandbox', modules: [], pollSeconds: 2, registry },
    compression: 'zstd',
    resources: {},
    env: process.env,
    ...changes,
  };
}

function wayOf(name: Exclude<WayName, 'native'>, context = contextWith()): ApptainerWay {
  const way = makeWays(context).find((candidate) => candidate.name === name);
  if (way === undefined || way.name === 'native') throw new Error(`there is no way ${name}`);
  return way;
}

async function convert(
  way: ApptainerWay,
  info: ImageInfo,
  options: { signal?: AbortSignal; onProgress?: (detail: string) => void } = {},
): Promise<ConvertedFile> {
  const outputPath = join(scratch, 'out.sif');
  return await way.convert(info, { outputPath, signal, onProgress: () => undefined, ...options });
}

/** What conversions have left on the cluster beside finished images. */
async function leftovers(): Promise<string> {
  return await onLogin(`ls -A ${root}/conversions; ls -A ${root}/images | grep -v '^[0-9a-f]*\\.sif$' || true`);
}

/** The file is what it says, and a job sees the image's own files and, brought along as a job script does it, its ENV. */
async function expectWhole({ sha256, sizeBytes }: ConvertedFile): Promise<void> {
  const path = `${root}/images/${sha256}.sif`;
  expect(await onLogin(`sha256sum <${path} | cut -c1-64; stat -c '%s %a' ${path}`)).toBe(`${sha256}\n${sizeBytes} 440`);
  const file = renderContainerMetadata(small).find((entry) => entry.path.endsWith('/10-image.sh'));
  if (file?.content.type !== 'file') throw new Error('the environment file has another name');
  const environment = `${root}/environment.sh`;
  await execa('docker', ['exec', '--interactive', '--user', 'researcher', loginContainer, 'tee', environment], {
    input: file.content.bytes,
    buffer: { stdout: false },
  });
  const binds = [
    '--bind /dev/null:/.singularity.d/env/10-docker2singularity.sh',
    `--bind ${environment}:/.singularity.d/env/99-zz-hpcrun.sh:ro`,
  ];
  const run = `apptainer --quiet exec --cleanenv --no-eval --contain --writable-tmpfs ${binds.join(' ')} ${path}`;
  expect(await onLogin(`${run} env -0 2>&1 | tr '\\0' '\\n' | grep -E '^(PLAIN|EMPTY|TRICKY|PATH)=' | sort`)).toBe(
    `EMPTY=\nPATH=/usr/bin:/bin:/app\nPLAIN=1\nTRICKY=${tricky}`,
  );
  expect(await onLogin(`${run} sh -c 'ls /tmp; cat /app/closed/file' 2>&1`)).toBe('text');
}

async function open(): Promise<Connection> {
  const { port, identityFile, knownHostsFile } = await sandboxCluster();
  const overrides = { host: '127.0.0.1', user: 'researcher', port, identityFile, knownHostsFile, isolated: true };
  return await openConnection(overrides, { env: process.env, prompter: noPrompter, signal });
}

beforeAll(async () => {
  connection = await open();
  scratch = await mkdtemp(join(tmpdir(), 'hpcrun-conversion-'));
  await execa('docker', ['build', '--tag', 'hpcrun-test/small', '-'], { input: smallDockerfile });
  small = await inspect('hpcrun-test/small');
  large = await inspect('hpcrun-test/python');
});

afterAll(async () => {
  connection.close();
  await rm(scratch, { recursive: true, force: true });
  await onLogin(`chmod -R u+w ${root}; rm -rf ${root} /tmp/path-*`);
});

describe('conversion on the login node', () => {
  it('makes a whole image in the store and leaves nothing else, neither at home nor in /tmp', async () => {
    const outside = () => onLogin('ls -A ~ /tmp | grep -v conversion-test');
    const before = await outside();
    const details: string[] = [];
    const file = await convert(wayOf('remote'), small, { onProgress: (detail) => void details.push(detail) });
    expect(await outside()).toBe(before);
    expect(file).toMatchObject({ place: 'cluster', isNative: false });
    await expectWhole(file);
    expect(details).toContainEqual(expect.stringMatching(/^[\d.]+ MB sent$/));
    expect(await leftovers()).toBe('');
  });

  it('ends with Ctrl-C, the build on the far side with it', async () => {
    const controller = new AbortController();
    const onProgress = (detail: string) => {
      if (detail.startsWith('Creating SIF file')) controller.abort();
    };
    const error = await failureOf(() => convert(wayOf('remote'), large, { signal: controller.signal, onProgress }));
    expect(error.code).toBe('INTERRUPTED');
    await expect.poll(leftovers, { timeout: 20_000 }).toBe('');
    expect(await onLogin('ps -u researcher -o comm= | grep -E "apptainer|mksquashfs|starter" || true')).toBe('');
  });

  it('ends when the laptop is gone', async () => {
    const own = await open();
    const way = wayOf('remote', contextWith({ connect: () => Promise.resolve(own) }));
    const onProgress = (detail: string) => {
      if (detail.startsWith('Creating SIF file')) own.close();
    };
    expect((await failureOf(() => convert(way, large, { onProgress }))).code).toBe('CONNECTION_LOST');
    await expect.poll(leftovers, { timeout: 20_000 }).toBe('');
    expect(await onLogin('ps -u researcher -o comm= | grep -E "apptainer|mksquashfs|starter" || true')).toBe('');
  });

  it('says that the login node may have ended it, when something does', async () => {
    const outcome = failureOf(() => convert(wayOf('remote'), large));
    const kill = 'ps -u researcher -o pid=,comm= | awk \'$2 == "mksquashfs" { print $1 }\' | xargs -r kill -KILL; ls';
    const killer = setInterval(() => void onLogin(kill), 300);
    const error = await outcome.finally(() => {
      clearInterval(killer);
    });
    expect(error.code).toBe('CONVERSION_FAILED');
    expect(error.hint).toContain('--convert slurm');
    expect(await leftovers()).toBe('');
  });

  it('builds nothing from an archive that the engine did not finish', async () => {
    const broken: ContainerEngine = Object.create(engine, {
      saveArchive: {
        value: async () => {
          const archive = await engine.saveArchive(small.id, { signal });
          const completed = archive.completed.then(() => {
            throw new HpcrunError('ENGINE_FAILED', 'the engine has died');
          });
          completed.catch(() => undefined);
          return { ...archive, completed };
        },
      },
    }) as ContainerEngine;
    const way = wayOf('remote', contextWith({ engine: () => Promise.resolve(broken) }));
    expect((await failureOf(() => convert(way, small))).message).toBe('the engine has died');
    await expect.poll(leftovers, { timeout: 20_000 }).toBe('');
  });

  it('builds nothing from an archive that ends early without anybody saying so', async () => {
    const cut: ContainerEngine = Object.create(engine, {
      saveArchive: {
        value: async () => {
          const { stream, ...archive } = await engine.saveArchive(small.id, { signal });
          const bytes = (await collect(stream)).subarray(0, 1_000_000);
          return { ...archive, stream: new PassThrough().end(bytes) };
        },
      },
    }) as ContainerEngine;
    const way = wayOf('remote', contextWith({ engine: () => Promise.resolve(cut) }));
    expect(await failureOf(() => convert(way, small))).toMatchObject({ code: 'ENGINE_FAILED' });
    await expect.poll(leftovers, { timeout: 20_000 }).toBe('');
  });

  it('is not possible where no Apptainer is found', async () => {
    const way = wayOf('remote', contextWith({ connect: () => Promise.resolve(withoutApptainer(connection)) }));
    expect((await way.probe(signal)).possible).toBe(false);
    const error = await failureOf(() => convert(way, small));
    expect(error.message).toContain('neither apptainer nor singularity');
    expect(error.hint).toContain('modules:');
  });
});

/** The same login node with a PATH, for scripts and login shells alike, on which there is no Apptainer. */
function withoutApptainer(real: Connection): Connection {
  const hide = (
    script: string,
  ) => `mkdir -p /tmp/path-$$; for p in /usr/bin/*; do case $p in */apptainer | */singularity) ;; *) ln -s "$p" /tmp/path-$$/ 2>/dev/null ;; esac; done
PATH=/tmp/path-$$; SHELL=/bin/false; trap '/usr/bin/rm -rf /tmp/path-$$' EXIT
${script}`;
  return {
    description: real.description,
    run: (script, options) => real.run(hide(script), options),
    stream: (script, options) => real.stream(hide(script), options),
    closed: new Promise<void>(() => undefined),
    close: () => undefined,
  };
}

describe('conversion as a job', () => {
  const lastJob = (fields: string) =>
    onLogin(`sacct -n -P -X -o ${fields} --name hpcrun-convert -S now-1hour | tail -n 1`);

  it('makes a whole image in the store, with the resources of the run', async () => {
    const resources = { cpus: 2, memory: '1500M', time: 300, partition: 'devel', gpus: { count: 1 } };
    const states: string[] = [];
    const file = await convert(wayOf('slurm', contextWith({ resources })), small, {
      onProgress: (detail) => void states.push(detail),
    });
    await expectWhole(file);
    expect(states).toContainEqual(expect.stringMatching(/^job \d+: (?:PENDING|RUNNING)|^Creating SIF/));
    expect(await leftovers()).toBe('');
    await expect
      .poll(() => lastJob('Partition,TimelimitRaw,State,AllocTRES'), { timeout: 20_000 })
      .toMatch(/^devel\|5\|COMPLETED\|.*cpu=2,mem=1500M/);
  });

  it('does not wait for a job that is refused or will never start', async () => {
    const refused = contextWith({ resources: { partition: 'nowhere' } });
    expect(await failureOf(() => convert(wayOf('slurm', refused), small))).toMatchObject({
      code: 'SLURM_REFUSED',
      message: expect.stringContaining('nowhere') as string,
    });
    // devel ends jobs after ten minutes; sbatch takes a longer one and lets it wait.
    const tooLong = contextWith({ resources: { partition: 'devel', time: 24 * 3600 } });
    const error = await failureOf(() => convert(wayOf('slurm', tooLong), small));
    expect(error.message).toContain('PENDING PartitionTimeLimit');
    expect(error.hint).toContain('--time');
    await expect.poll(() => lastJob('State'), { timeout: 20_000 }).toMatch(/^CANCELLED/);
    expect(await leftovers()).toBe('');
  });

  it('is cancelled by Ctrl-C', async () => {
    const controller = new AbortController();
    const onProgress = (detail: string) => {
      if (detail.startsWith('Extracting') || detail.startsWith('Creating SIF file')) controller.abort();
    };
    const error = await failureOf(() => convert(wayOf('slurm'), large, { signal: controller.signal, onProgress }));
    expect(error.code).toBe('INTERRUPTED');
    await expect.poll(() => lastJob('State'), { timeout: 60_000 }).toMatch(/^CANCELLED/);
    await expect.poll(leftovers, { timeout: 60_000 }).toBe('');
  });

  it('says how the job ended when it could not say so itself', async () => {
    let cancelled: Promise<unknown> | undefined;
    const onProgress = (detail: string) => {
      if (!detail.startsWith('Creating SIF file')) return;
      cancelled ??= onLogin('scancel --me --name hpcrun-convert --signal KILL --full');
    };
    const error = await failureOf(() => convert(wayOf('slurm'), large, { onProgress }));
    await cancelled;
    expect(error.code).toBe('CONVERSION_FAILED');
    expect(error.message).toMatch(/the job ended: (?:FAILED|CANCELLED|NODE_FAIL)/);
    await expect.poll(leftovers, { timeout: 20_000 }).toBe('');
  });
});

/** Debian's docker-registry on the sandbox's network, published on a port of this machine's own. */
const registryDockerfile = `FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends docker-registry apache2-utils && rm -rf /var/lib/apt/lists/*
RUN sed '/^auth:/,/path:/d' /etc/docker/registry/config.yml >/etc/docker/registry/open.yml
RUN htpasswd -Bbc /etc/docker/registry/htpasswd ada 'p:w $x' && chmod 644 /etc/docker/registry/htpasswd
`;

async function startRegistry(name: string, config: string): Promise<{ registry: Registry; stop: () => Promise<void> }> {
  await execa('docker', ['build', '--tag', 'hpcrun-test/registry', '-'], { input: registryDockerfile });
  const container = `hpcrun-test-${name}`;
  await execa('docker', ['rm', '--force', container], { reject: false });
  const network = loginContainer.replace(/-login$/, '');
  await execa('docker', [
    ...['run', '--detach', '--name', container, '--network', network, '--network-alias', name],
    ...['--publish', '127.0.0.1::5000', 'hpcrun-test/registry', 'docker-registry', 'serve', config],
  ]);
  const { stdout } = await execa('docker', ['port', container, '5000/tcp']);
  const address = stdout.split('\n')[0] ?? '';
  const answers = async () => (await fetch(`http://${address}/v2/`).catch(() => undefined)) !== undefined;
  await expect.poll(answers, { timeout: 20_000 }).toBe(true);
  return {
    registry: {
      push: `${address}/hpcrun/small`,
      pull: `${name}:5000/hpcrun/small`,
      insecure: true,
      credentials: 'none',
    },
    stop: async () => {
      await execa('docker', ['rm', '--force', '--volumes', container]);
    },
  };
}

describe('conversion through a registry', () => {
  it('pushes from here and pulls there, under another name, over plain HTTP if told so', async () => {
    const { registry, stop } = await startRegistry('registry', '/etc/docker/registry/open.yml');
    try {
      const file = await convert(wayOf('registry', contextWith({}, registry)), small);
      expect(file).toMatchObject({ place: 'cluster', isNative: false });
      await expectWhole(file);
      expect(await leftovers()).toBe('');
      const { stdout } = await execa('docker', ['images', '--format', '{{.Repository}}']);
      expect(stdout).not.toContain('hpcrun/small\n');
      expect(stdout).toContain('hpcrun-test/small');

      const secure = { ...registry, insecure: false };
      const refused = await failureOf(() => convert(wayOf('registry', contextWith({}, secure)), small));
      expect(refused.hint).toContain('insecure: true');
      const lost = { ...registry, pull: 'nowhere.invalid:5000/hpcrun/small' };
      expect((await failureOf(() => convert(wayOf('registry', contextWith({}, lost)), small))).hint).toContain('pull:');
      const silent = { ...registry, push: '127.0.0.1:9/hpcrun/small' };
      const unpushed = await failureOf(() => convert(wayOf('registry', contextWith({}, silent)), small));
      expect(unpushed.message).toContain('127.0.0.1:9');
      expect(unpushed.code).toBe('CONVERSION_FAILED');
    } finally {
      await stop();
    }
  });

  it('logs in where it is told to, and shows the password to nobody', async () => {
    const { registry, stop } = await startRegistry('closed', '/etc/docker/registry/config.yml');
    const docker = process.env.DOCKER_CONFIG;
    let seen = '';
    const spy = setInterval(() => {
      void onLogin('ps -ww -eo args', 'root').then((text) => {
        seen += text;
      });
    }, 200);
    try {
      // Without a login of Docker's own, not even the push succeeds.
      process.env.DOCKER_CONFIG = scratch;
      const denied = await failureOf(() => convert(wayOf('registry', contextWith({}, registry)), small));
      expect(denied.hint).toContain('docker login');
      const host = registry.push.split('/')[0] ?? '';
      const auth = Buffer.from('ada:p:w $x').toString('base64');
      await writeFile(join(scratch, 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }));
      const pulled = await failureOf(() => convert(wayOf('registry', contextWith({}, registry)), small));
      expect(pulled.message).toMatch(/unauthorized/i);
      expect(pulled.hint).toContain('credentials');

      const variables = { HPCRUN_REGISTRY_USERNAME: 'ada', HPCRUN_REGISTRY_PASSWORD: 'p:w $x' };
      const context = contextWith(
        { env: { ...process.env, ...variables } },
        { ...registry, credentials: 'environment' },
      );
      await expectWhole(await convert(wayOf('registry', context), small));
      await expectWhole(
        await convert(wayOf('registry', contextWith({}, { ...registry, credentials: 'docker' })), small),
      );
      expect(seen).toContain('apptainer build');
      expect(seen).not.toContain('p:w');
    } finally {
      clearInterval(spy);
      if (docker === undefined) delete process.env.DOCKER_CONFIG;
      else process.env.DOCKER_CONFIG = docker;
      await stop();
    }
  });
});

/**
 * A program `apptainer` for this machine, which may have none: the real one in a container of the sandbox's image, with
 * the test's directory at the same place.
 */
async function installApptainer(): Promise<NodeJS.ProcessEnv> {
  const { stdout: image } = await execa('docker', ['inspect', '--format', '{{.Config.Image}}', loginContainer]);
  const privileges = [
    ...['--security-opt', 'seccomp=unconfined', '--security-opt', 'apparmor=unconfined', '--device', '/dev/fuse'],
    ...['--cap-add', 'SYS_ADMIN'],
  ];
  const variables = ['APPTAINER_TMPDIR', 'APPTAINER_CACHEDIR'].flatMap((name) => ['--env', name]);
  const command = ['docker', 'run', '--rm', '--network', 'none', ...privileges, ...variables];
  const bin = await mkdtemp(join(scratch, 'bin-'));
  const script = `#!/bin/sh\nexec ${command.join(' ')} -v '${scratch}:${scratch}' --entrypoint apptainer ${image} "$@"\n`;
  await writeFile(join(bin, 'apptainer'), script);
  await chmod(join(bin, 'apptainer'), 0o755);
  return { ...process.env, PATH: `${bin}:${process.env.PATH ?? ''}` };
}

describe('conversion with a local Apptainer', () => {
  it('makes a whole image here and removes its archive', async () => {
    const way = wayOf('apptainer', contextWith({ env: await installApptainer() }));
    const { possible, why } = await way.probe(signal);
    expect([possible, why]).toEqual([true, expect.stringMatching(/^apptainer version .* is here$/)]);
    const file = await convert(way, small);
    if (file.place !== 'local') throw new Error('it is not here');
    const bytes = await readFile(file.path);
    expect(file).toMatchObject({
      isNative: false,
      sizeBytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    });
    expect((await readdir(scratch)).filter((name) => name.startsWith('.apptainer'))).toEqual([]);
    await onLogin(`mkdir -p ${root}/images`);
    await execa('docker', ['cp', file.path, `${loginContainer}:${root}/images/${file.sha256}.sif`]);
    await onLogin(`chmod 0440 ${root}/images/*.sif; chown researcher: ${root}/images/*.sif`, 'root');
    await expectWhole(file);
  });

  it('says what Apptainer said when it fails, and leaves nothing behind', async () => {
    const env = await installApptainer();
    const nothing: ContainerEngine = Object.create(engine, {
      saveArchive: {
        value: () =>
          Promise.resolve({
            stream: new PassThrough().end('no tar'),
            completed: Promise.resolve(),
            dispose: () => Promise.resolve(),
          }),
      },
    }) as ContainerEngine;
    const way = wayOf('apptainer', contextWith({ env, engine: () => Promise.resolve(nothing) }));
    const error = await failureOf(() => convert(way, small));
    expect(error.message).toContain('FATAL:');
    expect(error.hint).toContain('--convert native');
    expect((await readdir(scratch)).filter((name) => name.startsWith('.apptainer'))).toEqual([]);
  });
});

describe('the choice', () => {
  it('is native where mksquashfs is, and says so', async () => {
    const { why } = await chooseWay('auto', makeWays(contextWith()), signal);
    expect(why).toMatch(/^native: mksquashfs \d\.\d.* is here$/);
  });

  it('is native in a container where mksquashfs is not, but an engine', async () => {
    const path = process.env.PATH;
    const bin = await mkdtemp(join(scratch, 'bin-'));
    try {
      const { stdout: docker } = await execa('sh', ['-c', 'command -v docker']);
      await writeFile(join(bin, 'docker'), `#!/bin/sh\nPATH=/usr/bin:/bin exec ${docker} "$@"\n`);
      await chmod(join(bin, 'docker'), 0o755);
      process.env.PATH = bin;
      const { why } = await chooseWay('auto', makeWays(contextWith()), signal);
      expect(why).toBe('native: mksquashfs is not here and runs in a container of docker');
    } finally {
      process.env.PATH = path;
    }
  });

  it('goes on to the cluster where nothing here can convert', async () => {
    const ways = makeWays(contextWith()).filter(({ name }) => name !== 'native');
    expect((await chooseWay('auto', ways, signal)).why).toMatch(/^slurm: /);
    expect((await chooseWay('remote', ways, signal)).why).toMatch(/^remote: .* has apptainer version \d/);
  });

  it('is never a registry that nobody has configured', async () => {
    const ways = makeWays(contextWith()).filter(({ name }) => name === 'registry');
    const error = await failureOf(() => chooseWay('auto', ways, signal));
    expect(error.message).toContain('no registry is configured');
  });
});

describe('mksquashfs in a container', () => {
  const args = ['-tar', '-noappend', '-no-progress', '-quiet', '-all-root', '-mkfs-time', '0', '-root-mode', '755'];
  const compression = ['-noI', '-o', '32768', '-comp', 'zstd', '-Xcompression-level', '3'];

  const compress = async (tar: Buffer, directory: string): Promise<Buffer> => {
    const outputPath = join(directory, 'container.sqfs');
    const image = await ensureHelperImage(engine, { signal });
    const { child } = await spawnMksquashfs(engine, image, { outputPath, args: [...args, ...compression], signal });
    child.stdin.end(tar);
    const result = await child;
    expect(result).toMatchObject({ exitCode: 0, stderr: '' });
    return clearRootTime(await readFile(outputPath));
  };

  // mksquashfs takes the root's time from the clock when it reads a tar; hpcrun clears it afterwards, too.
  const clearRootTime = (bytes: Buffer): Buffer => {
    const inode =
      32_768 + Number(bytes.readBigUInt64LE(32_768 + 64)) + 2 + Number(bytes.readBigUInt64LE(32_768 + 32) & 0xffffn);
    bytes.writeUInt32LE(0, inode + 8);
    return bytes;
  };

  const makeTar = async (): Promise<Buffer> => {
    const { stdout } = await execa('tar', ['-C', join(import.meta.dirname, '..'), '--mtime=@0', '-c', 'image', 'run'], {
      encoding: 'buffer',
    });
    return Buffer.from(stdout);
  };

  it('writes the bytes that the same release writes elsewhere', async () => {
    const directory = await mkdtemp(join(scratch, 'helper-'));
    const tar = await makeTar();
    const own = await compress(tar, directory);
    // The sandbox has the same release, of the same distribution.
    const command = ['mksquashfs', '-', '/tmp/there.sqfs', ...args, ...compression];
    await execa('docker', ['exec', '--interactive', loginContainer, ...command], { input: tar });
    await execa('docker', ['cp', `${loginContainer}:/tmp/there.sqfs`, join(directory, 'there.sqfs')]);
    await onLogin('rm /tmp/there.sqfs', 'root');
    expect(own.equals(clearRootTime(await readFile(join(directory, 'there.sqfs'))))).toBe(true);
  });

  it('writes the bytes of the local one, if that is the same release', async (context) => {
    const version = (text: string) => /version (\S+)/.exec(text)?.[1];
    const image = await ensureHelperImage(engine, { signal });
    const here = version((await execa('mksquashfs', ['-version'], { reject: false })).stdout);
    const there = version(
      (await execa('docker', ['run', '--rm', image, 'mksquashfs', '-version'], { reject: false })).stdout,
    );
    if (here !== there) return context.skip(`mksquashfs is ${here ?? 'missing'} here and ${there ?? '?'} there`);
    const directory = await mkdtemp(join(scratch, 'helper-'));
    const tar = await makeTar();
    const own = await compress(tar, directory);
    await execa('mksquashfs', ['-', join(directory, 'local.sqfs'), ...args, ...compression], { input: tar });
    expect(own.equals(clearRootTime(await readFile(join(directory, 'local.sqfs'))))).toBe(true);
  });

  it('ends when it is interrupted, the container with it', async () => {
    const directory = await mkdtemp(join(scratch, 'helper-'));
    const controller = new AbortController();
    const image = await ensureHelperImage(engine, { signal });
    const outputPath = join(directory, 'cut.sqfs');
    const spawn = { outputPath, args: [...args, ...compression], signal: controller.signal };
    const { child } = await spawnMksquashfs(engine, image, spawn);
    child.stdin.on('error', () => undefined);
    child.stdin.write((await makeTar()).subarray(0, 10_000));
    const running = async () =>
      (await execa('docker', ['ps', '--quiet', '--filter', `ancestor=${image}`])).stdout.trim();
    await expect.poll(running, { timeout: 20_000 }).not.toBe('');
    controller.abort();
    await child;
    await expect.poll(running, { timeout: 20_000 }).toBe('');
  });
});
