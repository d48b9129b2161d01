import { createHash } from 'node:crypto';
import { access, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { resolveSandboxName, sandboxClusterFile } from '../config/cluster.js';
import type { Directories } from '../config/directories.js';
import { clusterSchema, type Cluster } from '../config/schema.js';
import { HpcrunError, isMissing } from '../errors.js';
import { requireMksquashfs } from '../image/squash.js';
import { CliEngine } from '../image/cli-engine.js';
import { writeAtomically } from '../local-file.js';
import { packageDirectory } from '../package-directory.js';
import { withStep, type Progress } from '../progress.js';
import { baseImage, ensureBaseImage, removeBaseImage } from './base-image.js';
import { docker, dockerLines, tryDocker } from './docker.js';
import { ensureEngine } from './ensure-engine.js';
import { loginFiles, makeMeansOfLogin } from './means-of-login.js';
import { parseQuirks, type QuirkName } from './quirks.js';

const sandboxLabel = 'hpcrun.sandbox';
const imageRepository = 'hpcrun-sandbox';
const user = 'researcher';
const startupTimeoutMs = 90_000;

/** What Apptainer needs to work unprivileged inside a container, short of --privileged. */
const containerPrivileges = [
  ...['--security-opt', 'seccomp=unconfined', '--security-opt', 'apparmor=unconfined', '--device', '/dev/fuse'],
  ...['SYS_ADMIN', 'SYS_NICE', 'NET_ADMIN', 'DAC_READ_SEARCH', 'SYS_PTRACE'].flatMap((name) => ['--cap-add', name]),
];

export interface SandboxContext {
  directories: Directories;
  env: NodeJS.ProcessEnv;
  progress: Progress;
  signal: AbortSignal;
}

export interface UpOptions {
  /** Compute nodes; 2 unless the sandbox is there already. */
  nodes?: number;
  accounting?: boolean;
  /** None unless the sandbox is there already; src/sandbox/quirks.ts says which there are. */
  quirks?: QuirkName[];
  installEngine: boolean;
}

/** What a sandbox is made as, and stays. */
interface Shape {
  nodes: number;
  quirks: QuirkName[];
}

const hasAccounting = ({ quirks }: Shape) => !quirks.includes('no-accounting');

export interface SandboxStatus {
  name: string;
  state: 'up' | 'stopped' | 'absent';
  nodes: { name: string; state: string }[];
  quirks: QuirkName[];
  /** Where the password and the secret for one-time codes are, if they are asked for at the login. */
  secrets: { password?: string; totpSecret?: string };
  /** `researcher@127.0.0.1:port`, when it is up. */
  login: string | undefined;
}

/**
 * Brings the sandbox up: builds its image if need be, makes or starts its containers, and returns when every node is
 * idle. Does nothing where it is up already. Throws SANDBOX_FAILED, ENGINE_MISSING or ENGINE_FAILED.
 */
export async function bringUp(context: SandboxContext, options: UpOptions): Promise<SandboxStatus> {
  const { progress, signal } = context;
  const name = resolveSandboxName(context.env);
  await ensureEngine(options.installEngine, progress, signal);
  // Whoever lets hpcrun install things is about to submit: better to hear now than after minutes of building.
  if (options.installEngine) await requireMksquashfs(signal);
  await ensureBaseImage(progress, signal);
  const existing = await findContainers(name, signal);
  const login = await findWhole(context, name, existing);
  if (login) refuseOtherShape(name, login.labels, options);
  const image = await ensureImage(progress, signal);
  await withStep(
    progress,
    'Starting the cluster',
    async (step) => {
      if (login) {
        for (const container of existing) await docker(['start', container.name], signal);
      } else {
        await removeLeftovers(name, signal);
        const { nodes = 2, accounting = true, quirks = [] } = options;
        const all = accounting ? quirks : parseQuirks([...quirks, 'no-accounting']);
        await createContainers(context, name, image, { nodes, quirks: all });
      }
      await awaitIdle(
        name,
        (detail) => {
          step.update(detail);
        },
        signal,
      );
    },
    () => 'The cluster is up',
  );
  await writeClusterFile(context, name);
  return await readStatus(context);
}

/** Removes everything `bringUp` made: containers, network, volumes, key, records of its runs and, unless kept, images. */
export async function takeDown(context: SandboxContext, options: { keepImages: boolean }): Promise<void> {
  const { directories, progress, signal } = context;
  const name = resolveSandboxName(context.env);
  await ensureEngine(false, progress, signal);
  await withStep(
    progress,
    'Removing the cluster',
    async () => {
      await removeLeftovers(name, signal);
      await rm(dirname(sandboxClusterFile(directories, name)), { recursive: true, force: true });
      if (!options.keepImages) await removeImages(signal);
    },
    () => 'The cluster is gone',
  );
}

export async function readStatus({ directories, env, signal }: SandboxContext): Promise<SandboxStatus> {
  const name = resolveSandboxName(env);
  const containers = await findContainers(name, signal);
  const absent: SandboxStatus = { name, state: 'absent', nodes: [], quirks: [], secrets: {}, login: undefined };
  const [first] = containers;
  if (!first) return absent;
  const clusterFile = sandboxClusterFile(directories, name);
  const { quirks } = readShape(first.labels);
  const files = loginFiles(dirname(clusterFile));
  const asksCode = quirks.includes('key-totp') || quirks.includes('password-totp');
  const secrets = {
    ...(quirks.includes('password-totp') ? { password: files.password } : {}),
    ...(asksCode ? { totpSecret: files.totpSecret } : {}),
  };
  if (containers.some(({ state }) => state !== 'running')) {
    const nodes = containers.map(({ name: node, state }) => ({ name: node, state }));
    return { ...absent, state: 'stopped', nodes, quirks, secrets };
  }
  const sinfo = await tryDocker(['exec', `${name}-login`, 'sinfo', '-h', '-N', '-p', 'batch', '-o', '%N %T'], signal);
  const nodes = (sinfo ?? '').split('\n').flatMap((line) => {
    const [node, state] = line.split(' ');
    return node && state ? [{ name: node, state }] : [];
  });
  return { name, state: 'up', nodes, quirks, secrets, login: await readLogin(clusterFile) };
}

async function readLogin(clusterFile: string): Promise<string | undefined> {
  try {
    const { host, port, proxyJump } = clusterSchema.parse(JSON.parse(await readFile(clusterFile, 'utf8')));
    return `${user}@${host ?? ''}:${port ?? 22}${proxyJump === undefined ? '' : ` through ${proxyJump}`}`;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

interface Container {
  name: string;
  state: string;
  labels: Map<string, string>;
}

async function findContainers(name: string, signal: AbortSignal): Promise<Container[]> {
  const format = '{{.Names}}\t{{.State}}\t{{.Labels}}';
  const lines = await dockerLines(
    ['ps', '--all', '--filter', `label=${sandboxLabel}=${name}`, '--format', format],
    signal,
  );
  return lines.map((line) => {
    const [container = '', state = '', labels = ''] = line.split('\t');
    const pairs = labels.split(',').map((label): [string, string] => {
      const equals = label.indexOf('=');
      return [label.slice(0, equals), label.slice(equals + 1)];
    });
    return { name: container, state, labels: new Map(pairs) };
  });
}

/**
 * The login container of a sandbox that is all there; undefined if there is none or its making was interrupted, so that
 * it has to be made anew. Throws SANDBOX_FAILED if its key is lost.
 */
async function findWhole(
  { directories }: SandboxContext,
  name: string,
  existing: Container[],
): Promise<Container | undefined> {
  const login = existing.find((container) => container.name === `${name}-login`);
  if (!login) return undefined;
  const { nodes, quirks } = readShape(login.labels);
  if (existing.length !== nodes + (quirks.includes('gateway') ? 2 : 1)) return undefined;
  const { key } = loginFiles(dirname(sandboxClusterFile(directories, name)));
  try {
    await access(key);
    return login;
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new HpcrunError('SANDBOX_FAILED', `the sandbox ${name} is there, but its key is not: ${key}`, {
      hint: 'Nobody can log in any more. Start over with: hpcrun sandbox down --keep-images, then up again.',
    });
  }
}

function readShape(labels: Map<string, string>): Shape {
  const names = labels.get('hpcrun.sandbox.quirks') ?? '';
  return {
    nodes: Number(labels.get('hpcrun.sandbox.nodes')),
    quirks: parseQuirks(names.split(' ').filter((quirk) => quirk !== '')),
  };
}

function refuseOtherShape(name: string, labels: Map<string, string>, options: UpOptions): void {
  const shape = readShape(labels);
  // --no-accounting is another word for the quirk.
  const others = (quirks: QuirkName[]) => quirks.filter((quirk) => quirk !== 'no-accounting').join(', ');
  const accounting = options.quirks?.includes('no-accounting') ? false : options.accounting;
  const isSame =
    (options.nodes ?? shape.nodes) === shape.nodes &&
    (accounting ?? hasAccounting(shape)) === hasAccounting(shape) &&
    others(options.quirks ?? shape.quirks) === others(shape.quirks);
  if (isSame) return;
  const unusual = others(shape.quirks) === '' ? 'no quirks' : `the quirks ${others(shape.quirks)}`;
  throw new HpcrunError(
    'SANDBOX_FAILED',
    `the sandbox ${name} is there already, with ${shape.nodes} nodes, accounting ${hasAccounting(shape) ? 'on' : 'off'} and ${unusual}`,
    { hint: 'To make another one: hpcrun sandbox down --keep-images, then up again.' },
  );
}

async function ensureImage(progress: Progress, signal: AbortSignal): Promise<string> {
  const context = join(packageDirectory(), 'sandbox');
  const hash = createHash('sha256');
  for (const file of (await readdir(context)).sort())
    hash.update(`${file}\0`).update(await readFile(join(context, file)));
  const tag = `${imageRepository}:${hash.digest('hex').slice(0, 12)}`;
  const engine = new CliEngine('docker');
  if (await engine.inspect(tag, { signal })) return tag;
  await withStep(
    progress,
    'Building the cluster image (a few minutes, once)',
    (step) =>
      engine.build(
        { dockerfile: join(context, 'Dockerfile'), context, args: { BASE_IMAGE: baseImage, USER_NAME: user }, tag },
        {
          signal,
          onOutput: (line) => {
            step.output(line);
          },
        },
      ),
    () => 'Built the cluster image',
  );
  return tag;
}

async function createContainers(context: SandboxContext, name: string, image: string, shape: Shape): Promise<void> {
  const { nodes, quirks } = shape;
  const { directories, signal } = context;
  const label = ['--label', `${sandboxLabel}=${name}`];
  const [cpus = '2', memoryBytes = '0'] = (await docker(['info', '--format', '{{.NCPU}} {{.MemTotal}}'], signal)).split(
    ' ',
  );
  const memoryMb = Math.floor((Number(memoryBytes) * 0.9) / nodes / 1e6);
  const { publicKey, password, totpSecret } = await makeMeansOfLogin(dirname(sandboxClusterFile(directories, name)));
  const port = await findFreePort();
  await docker(['network', 'create', ...label, name], signal);
  for (const volume of ['home', 'etc']) await docker(['volume', 'create', ...label, `${name}-${volume}`], signal);

  const variables = {
    SANDBOX_NODES: String(nodes),
    SANDBOX_ACCOUNTING: hasAccounting(shape) ? '1' : '0',
    SANDBOX_QUIRKS: quirks.join(' '),
    SANDBOX_CPUS: String(Math.max(2, Number(cpus))),
    SANDBOX_MEMORY_MB: String(memoryMb),
    SANDBOX_USER: user,
    SANDBOX_AUTHORIZED_KEY: publicKey,
    SANDBOX_PASSWORD: password,
    SANDBOX_TOTP_SECRET: totpSecret,
  };
  const labels = {
    'hpcrun.sandbox.nodes': String(nodes),
    'hpcrun.sandbox.quirks': quirks.join(' '),
  };
  const shared = [
    ...label,
    ...Object.entries(labels).flatMap(([key, value]) => ['--label', `${key}=${value}`]),
    ...['--init', '--network', name],
    ...Object.entries(variables).flatMap(([variable, value]) => ['--env', `${variable}=${value}`]),
  ];
  const run = (node: string, extra: string[], role: string) => {
    const names = ['--name', `${name}-${node}`, '--hostname', node, '--network-alias', node];
    return docker(['run', '--detach', ...names, ...extra, ...shared, image, role], signal);
  };
  const cluster = ['--volume', `${name}-home:/home`, '--volume', `${name}-etc:/etc/sandbox`, ...containerPrivileges];
  const door = ['--publish', `127.0.0.1:${port}:22`, '--label', `hpcrun.sandbox.port=${port}`];
  const hasGateway = quirks.includes('gateway');
  if (hasGateway) await run('gateway', door, 'gateway');
  await run('login', [...cluster, ...(hasGateway ? [] : door)], 'login');
  for (let index = 1; index <= nodes; index += 1) await run(`c${index}`, cluster, 'compute');
}

async function findFreePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        resolve(typeof address === 'object' && address ? address.port : 0);
      });
    });
  });
}

/** Waits until sinfo says that every node is idle, or at work. */
async function awaitIdle(name: string, onDetail: (detail: string) => void, signal: AbortSignal): Promise<void> {
  const containers = await findContainers(name, signal);
  const nodeCount = containers.filter((container) => /-c\d+$/.test(container.name)).length;
  const deadline = Date.now() + startupTimeoutMs;
  while (Date.now() < deadline) {
    const dead = (await findContainers(name, signal)).find(({ state }) => state === 'exited' || state === 'dead');
    if (dead) throw await startFailed(dead.name, signal);
    const isReady =
      (await tryDocker(['exec', `${name}-login`, 'test', '-e', '/run/sandbox-ready'], signal)) !== undefined;
    const states = isReady
      ? await tryDocker(['exec', `${name}-login`, 'sinfo', '-h', '-N', '-p', 'batch', '-o', '%T'], signal)
      : undefined;
    const ready = (states ?? '')
      .split('\n')
      .filter((state) => /^(?:idle|mixed|allocated|completing)$/.test(state)).length;
    if (isReady && ready >= nodeCount) return;
    onDetail(isReady ? `${ready} of ${nodeCount} nodes are idle` : 'starting SLURM');
    await sleep(300, undefined, { signal });
  }
  throw await startFailed(`${name}-login`, signal);
}

async function startFailed(container: string, signal: AbortSignal): Promise<HpcrunError> {
  const logs = (await tryDocker(['logs', '--tail', '20', container], signal)) ?? '';
  return new HpcrunError('SANDBOX_FAILED', `${container} did not start:\n${logs}`, {
    hint: `More is in "docker logs ${container}". Start over with: hpcrun sandbox down && hpcrun sandbox up`,
  });
}

/** How the cluster named `sandbox` is reached. Its host keys come from the containers themselves, not from the network. */
async function writeClusterFile({ directories, signal }: SandboxContext, name: string): Promise<void> {
  const file = sandboxClusterFile(directories, name);
  const directory = dirname(file);
  const containers = await findContainers(name, signal);
  const door = containers.find(({ labels }) => labels.has('hpcrun.sandbox.port'));
  const port = Number(door?.labels.get('hpcrun.sandbox.port'));
  const hasGateway = door?.name === `${name}-gateway`;
  const readKeys = async (container: string, host: string) => {
    const keys = await dockerLines(['exec', container, 'sh', '-c', 'cat /etc/ssh/ssh_host_*_key.pub'], signal);
    return keys.map((key) => `${host} ${key.split(' ').slice(0, 2).join(' ')}\n`).join('');
  };
  const outside = `[127.0.0.1]:${port}`;
  const knownHostsFile = join(directory, 'known_hosts');
  await writeFile(
    knownHostsFile,
    hasGateway
      ? (await readKeys(`${name}-gateway`, outside)) + (await readKeys(`${name}-login`, 'login'))
      : await readKeys(`${name}-login`, outside),
  );
  const cluster: Cluster = {
    ...(hasGateway ? { host: 'login', port: 22, proxyJump: `${user}@127.0.0.1:${port}` } : { host: '127.0.0.1', port }),
    user,
    identityFile: loginFiles(directory).key,
    knownHostsFile,
    compression: 'zstd',
    overlays: true,
    pollSeconds: 2,
  };
  await writeAtomically(file, `${JSON.stringify(cluster, null, 2)}\n`);
}

async function removeLeftovers(name: string, signal: AbortSignal): Promise<void> {
  const filter = ['--filter', `label=${sandboxLabel}=${name}`, '--quiet'];
  const containers = await dockerLines(['ps', '--all', ...filter], signal);
  if (containers.length > 0) await docker(['rm', '--force', '--volumes', ...containers], signal);
  const volumes = await dockerLines(['volume', 'ls', ...filter], signal);
  if (volumes.length > 0) await docker(['volume', 'rm', ...volumes], signal);
  const networks = await dockerLines(['network', 'ls', ...filter], signal);
  if (networks.length > 0) await docker(['network', 'rm', ...networks], signal);
}

async function removeImages(signal: AbortSignal): Promise<void> {
  // Another sandbox of this machine may still need them; then they are its to remove.
  if ((await dockerLines(['ps', '--all', '--filter', `label=${sandboxLabel}`, '--quiet'], signal)).length > 0) return;
  const images = await dockerLines(['images', '--filter', 'label=hpcrun.sandbox.image', '--format', '{{.ID}}'], signal);
  if (images.length > 0) await docker(['image', 'rm', '--force', ...new Set(images)], signal);
  await removeBaseImage(signal);
}
