import type { Bind } from '../config/bind.js';
import type { EngineName } from '../image/engine.js';
import { quoteAll } from '../ssh/quote.js';
import type { ContainerVariables } from './local-variables.js';

/** Its value is the run a container belongs to. */
export const runLabel = 'hpcrun.local';

/** Everything `docker run` is told. */
export interface LocalContainer {
  engine: EngineName;
  runId: string;
  image: string;
  /** Where it is not the engine's own. */
  platform: string | undefined;
  name: string;
  identity: Identity;
  /** Podman without root: identities outside are to be those inside. */
  keepsIdentity: boolean;
  hasInit: boolean;
  hasSelinux: boolean;
  interactive: boolean;
  tty: boolean;
  offline: boolean;
  /** As for `docker run --publish`. */
  ports: string[];
  limits: ContainerLimits;
  gpus: boolean;
  sharedMemoryBytes: number;
  mounts: Bind[];
  variables: ContainerVariables;
  workingDirectory: string;
  /** The full argument vector. */
  command: string[];
}

/** Who the container's processes are. */
export interface Identity {
  uid: number;
  gid: number;
  name: string;
}

export interface ContainerLimits {
  cpus: number | undefined;
  memoryBytes: number | undefined;
  /** Whether what does not fit into memory may go to swap. */
  swaps: boolean;
}

/** The engine's arguments, `run` first. The rules are a cluster's: no root, no capabilities, a root that is read-only. */
export function renderRunArguments(container: LocalContainer): string[] {
  return renderRunGroups(container).flat();
}

/** The same as a command for a shell, an option a line. */
export function renderRunCommand(container: LocalContainer): string {
  const [first = [], ...rest] = renderRunGroups(container);
  return [[container.engine, ...first], ...rest].map(quoteAll).join(' \\\n  ');
}

/** Each option with its values. */
function renderRunGroups(container: LocalContainer): string[][] {
  const { engine, identity, variables } = container;
  const [program = '', ...args] = container.command;
  const flag = (isSet: boolean, ...words: string[]) => (isSet ? [words] : []);
  return [
    ['run', '--rm'],
    // Something else than the job as process 1, which would not be ended by the signals that end a job.
    ...flag(container.hasInit, '--init'),
    ['--name', container.name],
    ['--label', `${runLabel}=${container.runId}`],
    ...flag(container.interactive, '--interactive'),
    ...flag(container.tty, '--tty'),
    ...(container.platform === undefined ? [] : [['--platform', container.platform]]),
    ['--user', `${identity.uid}:${identity.gid}`],
    ...flag(container.keepsIdentity, '--userns', 'keep-id'),
    ['--cap-drop', 'ALL'],
    ['--security-opt', 'no-new-privileges'],
    ...flag(container.hasSelinux, '--security-opt', 'label=disable'),
    ['--read-only'],
    ...flag(container.offline, '--network', 'none'),
    ...container.ports.map((port) => ['--publish', port]),
    ...renderLimits(container.limits),
    ...flag(container.gpus, ...(engine === 'docker' ? ['--gpus', 'all'] : ['--device', 'nvidia.com/gpu=all'])),
    ['--shm-size', String(container.sharedMemoryBytes)],
    ...container.mounts.map((mount) => ['--mount', renderMount(mount)]),
    // Docker takes a name without a value that it cannot find as one to be removed.
    ...variables.removed.map((name) => [engine === 'docker' ? '--env' : '--unsetenv', name]),
    ...Object.entries(variables.onCommandLine).map(([name, value]) => ['--env', `${name}=${value}`]),
    ...Object.keys(variables.inherited).map((name) => ['--env', name]),
    ...(variables.file === undefined ? [] : [['--env-file', variables.file.path]]),
    ['--workdir', container.workingDirectory],
    ['--entrypoint', program],
    [container.image, ...args],
  ];
}

function renderLimits({ cpus, memoryBytes, swaps }: ContainerLimits): string[][] {
  return [
    ...(cpus === undefined ? [] : [['--cpus', String(cpus)]]),
    ...(memoryBytes === undefined ? [] : [['--memory', String(memoryBytes)]]),
    ...(memoryBytes === undefined || swaps ? [] : [['--memory-swap', String(memoryBytes)]]),
  ];
}

/** A line of comma-separated values. */
export function renderMount({ source, target, readonly }: Bind): string {
  const paths = [`source=${source}`, `target=${target}`].map(quoteMountField);
  return ['type=bind', ...paths, ...(readonly ? ['readonly'] : [])].join(',');
}

/** Quotes keep commas (RFC 4180). */
export function quoteMountField(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
