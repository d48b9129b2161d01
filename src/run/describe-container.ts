import { posix } from 'node:path';
import type { Bind } from '../config/bind.js';
import { parseBytes } from '../config/quantities.js';
import type { Resources } from '../config/resources.js';
import { resolveContainerCommand, type RequestedCommand } from '../image/container-command.js';
import { splitEnvironment } from '../image/container-metadata.js';
import type { EngineName, ImageInfo } from '../image/engine.js';
import { formatBytes } from '../progress.js';
import type { EngineFacts } from './engine-facts.js';
import { homeDirectory } from './local-accounts.js';
import type { ContainerLimits, Identity, LocalContainer } from './local-container.js';
import { pathInside } from './local-mount-points.js';
import { placeVariables, renderJobVariables } from './local-variables.js';
import type { Plan } from './plan.js';

/** What `docker run` can be asked for beyond what `submit` can; the words mean what they mean there. */
export interface ContainerRequest {
  interactive: boolean;
  tty: boolean;
  offline: boolean;
  ports: string[];
  /** The container's name. */
  name: string | undefined;
  /** Absolute. */
  workingDirectory: string | undefined;
  /** Empty for none at all. */
  entrypoint: string | undefined;
}

/** Directories of this machine that one run uses. */
export interface LocalPlaces {
  work: string;
  scratch: string;
}

/** All that a container is made of. */
export interface ContainerParts {
  runId: string;
  plan: Plan;
  request: ContainerRequest;
  engine: { name: EngineName; architecture: string; facts: EngineFacts };
  info: ImageInfo;
  /** VOLUME directories in which the image holds something; a job leaves them as they are. */
  filledVolumes: string[];
  /** What the image is called on the command line. */
  image: string;
  identity: Identity;
  binds: Bind[];
  places: LocalPlaces;
  /** The environment of hpcrun. */
  env: NodeJS.ProcessEnv;
}

/** The same job as a container of this machine. Pure. Throws COMMAND_MISSING. */
export function describeContainer(parts: ContainerParts): LocalContainer {
  const { runId, plan, request, engine, info, identity, places, env } = parts;
  const hasGpus = engine.facts.hasGpus && wantsGpus(plan.resources);
  const image = request.entrypoint === undefined ? info : { ...info, ...entrypoint(request.entrypoint) };
  const { shell, dockerOnly } = splitEnvironment(info);
  const job = renderJobVariables({ ...plan, runId }, hasGpus);
  // The image's own words for language and region go before the job's.
  const known = Object.fromEntries(
    Object.entries(job).filter(([name]) => name !== 'LANG' || !shell.some(([own]) => own === 'LANG')),
  );
  const isEmulated = info.architecture !== engine.architecture;
  return {
    engine: engine.name,
    runId,
    image: parts.image,
    platform: isEmulated ? `${info.os}/${info.architecture}` : undefined,
    name: request.name ?? `hpcrun-${runId}`,
    identity,
    keepsIdentity: engine.name === 'podman' && engine.facts.isRootless,
    hasInit: engine.facts.hasInit,
    hasSelinux: engine.facts.hasSelinux,
    interactive: request.interactive,
    tty: request.tty,
    offline: request.offline,
    ports: request.ports,
    limits: chooseLimits(plan.resources, engine.facts),
    gpus: hasGpus,
    // As on a node, half of the memory; Docker's own 64 MB are too little for data loaders.
    sharedMemoryBytes: Math.floor(engine.facts.memoryBytes / 2),
    mounts: chooseMounts(parts),
    variables: placeVariables(
      plan.variables,
      { HOME: homeDirectory(identity), ...known },
      { callers: env, filePath: posix.join(places.scratch, 'env'), removed: dockerOnly },
    ),
    workingDirectory: request.workingDirectory ?? plan.containerDirectory,
    command: resolveContainerCommand(fromWorkingDirectory(plan, request), image),
  };
}

/** As in Docker, an ENTRYPOINT that is given takes the image's CMD away. */
function entrypoint(program: string): Pick<ImageInfo, 'entrypoint' | 'command'> {
  return { entrypoint: program === '' ? [] : [program], command: [] };
}

/** A script of the project is found wherever the job starts. */
function fromWorkingDirectory({ command, containerDirectory }: Plan, request: ContainerRequest): RequestedCommand {
  if (command.kind !== 'script' || request.workingDirectory === undefined) return command;
  const path = posix.relative(request.workingDirectory, posix.join(containerDirectory, command.path));
  return { ...command, path };
}

function wantsGpus({ gpus }: Resources): boolean {
  return (gpus?.count ?? 0) > 0;
}

function chooseLimits({ cpus, memory }: Resources, { limits, ...machine }: EngineFacts): ContainerLimits {
  return {
    cpus: cpus !== undefined && limits.cpus ? Math.min(cpus, machine.cpus) : undefined,
    memoryBytes: memory !== undefined && limits.memory ? parseBytes(memory) : undefined,
    swaps: !limits.swap,
  };
}

/** Directories of a run's scratch and where they appear: what a job can write to and is gone when it ends. */
export function scratchDirectories({ info, filledVolumes, identity }: ContainerParts): {
  name: string;
  target: string;
}[] {
  const volumes = info.volumes.filter((path) => !filledVolumes.includes(path));
  return [
    { name: 'tmp', target: '/tmp' },
    { name: 'var-tmp', target: '/var/tmp' },
    ...volumes.map((target, index) => ({ name: `volume-${index}`, target })),
    { name: 'home', target: homeDirectory(identity) },
  ];
}

/** Of two mounts at one place the later is kept. */
function chooseMounts(parts: ContainerParts): Bind[] {
  const { plan, filledVolumes, binds, places } = parts;
  const inScratch = (name: string, target: string, readonly: boolean): Bind => ({
    source: posix.join(places.scratch, name),
    target,
    readonly,
  });
  const mounts = [
    ...scratchDirectories(parts).map(({ name, target }) => inScratch(name, target, false)),
    inScratch('passwd', '/etc/passwd', true),
    inScratch('group', '/etc/group', true),
    { source: places.work, target: plan.mount, readonly: false },
    // What the image holds in the project's place is hidden by it in a job; the engine would put a volume there.
    ...filledVolumes.flatMap((target) => {
      const path = pathInside(plan.mount, target) ?? '';
      return path === '' ? [] : [{ source: posix.join(places.work, path), target, readonly: false }];
    }),
    ...binds,
  ];
  return [...new Map(mounts.map((bind) => [bind.target, bind])).values()];
}

/** What will be otherwise here than in the job, in sentences. */
export function describeDifferences({ plan, engine, info, identity }: ContainerParts): string[] {
  const { cpus, memory, gpus } = plan.resources;
  const { facts } = engine;
  const bytes = memory === undefined ? 0 : (parseBytes(memory) ?? 0);
  const { dockerOnly } = splitEnvironment(info);
  const says = (isSo: boolean, text: string) => (isSo ? [text] : []);
  return [
    ...says(
      dockerOnly.length > 0,
      `The image's ENV ${dockerOnly.join(', ')} cannot be set by a shell and will be missing in the job, as it is here.`,
    ),
    ...says(
      info.architecture !== engine.architecture,
      `The image is for ${info.os}/${info.architecture} and is emulated here, which is slow.`,
    ),
    ...says(
      wantsGpus(plan.resources) && !facts.hasGpus,
      `The job asks for ${gpus?.count ?? 0} GPU${gpus?.count === 1 ? '' : 's'}; ${engine.name} has none to give here, so it runs without.`,
    ),
    ...says((cpus ?? 0) > facts.cpus, `The job asks for ${cpus ?? 0} CPU cores; there are ${facts.cpus} here.`),
    ...says(
      bytes > facts.memoryBytes,
      `The job asks for ${formatBytes(bytes)} of memory; there are ${formatBytes(facts.memoryBytes)} here.`,
    ),
    ...says(
      (cpus !== undefined && !facts.limits.cpus) || (memory !== undefined && !facts.limits.memory),
      `${engine.name} cannot limit CPU cores or memory here; the job's limits are not tried.`,
    ),
    ...says(
      identity.uid === 0,
      'This engine runs without root: the job seems to be root here, without its rights. On the cluster it is you.',
    ),
  ];
}
