import { HpcrunError } from '../../errors.js';
import { printable } from '../../ssh/terminal-text.js';
import type { WayName } from './way-in.js';

const shownLines = 15;

/** How a build ended. */
export interface BuildFailure {
  way: WayName;
  /** Where, for the message: a cluster's name, or `this machine`. */
  place: string;
  /** The exit status, as a shell gives it. */
  status: number;
  /** What Apptainer, or the engine, printed. */
  output: string;
  /** The state SLURM gave a job that ended without a word. */
  jobState?: string;
}

interface Cause {
  pattern: RegExp;
  hint: (way: WayName) => string;
}

/** Where to turn when a way does not lead on. */
const nextWay: Record<WayName, WayName> = {
  native: 'slurm',
  apptainer: 'native',
  remote: 'slurm',
  slurm: 'native',
  registry: 'native',
};

const instead = (way: WayName) => `--convert ${nextWay[way]}`;

/** Typical causes, the more telling ones first, as Apptainer, umoci, mksquashfs, registries and SLURM word them. */
const causes: Cause[] = [
  {
    pattern: /disk quota|quota exceeded/i,
    hint: (way) =>
      way === 'apptainer'
        ? `Your quota on this machine is used up: free some, or set XDG_CACHE_HOME to another disk; or try ${instead(way)}.`
        : 'Your quota on the cluster is used up: free some (old runs and images live under its root), or set another "root:"; --convert native needs the least room there.',
  },
  {
    pattern: /no space left/i,
    hint: (way) =>
      way === 'apptainer'
        ? `The disk of the cache is full; the archive, the unpacked image and the SIF need room at once. Set XDG_CACHE_HOME to another disk, or try ${instead(way)}.`
        : 'The archive, the unpacked image and the SIF need room at once: free some, or set another "root:" for the cluster; --convert native needs the least.',
  },
  {
    pattern: /server gave HTTP response to HTTPS client/i,
    hint: () => 'The registry speaks plain HTTP: registry: {insecure: true} in the configuration of the cluster.',
  },
  {
    pattern:
      /unauthorized|authentication required|no basic auth|access denied|requested access .* denied|status(?: code)?:? 40[13]/i,
    hint: () =>
      'The registry wants a login: "docker login" for the push; for the pull, registry: {credentials: docker} or {credentials: environment} in the configuration of the cluster.',
  },
  {
    pattern:
      /connection refused|no such host|i\/o timeout|network is unreachable|TLS handshake timeout|context deadline exceeded/i,
    hint: (way) =>
      way === 'registry'
        ? 'The registry was not reached. If it has another name on the cluster, say so: registry: {pull: HOST/NAME}. Or try --convert remote.'
        : `Try ${instead(way)}.`,
  },
  {
    pattern: /manifest unknown|name unknown|repository .* not found/i,
    hint: () => 'Do "push" and "pull" of the registry in the configuration name the same place?',
  },
  {
    pattern:
      /exec format error|unsupported architecture|no image (?:found )?.*for (?:architecture|platform)|does not match .*architecture/i,
    hint: () => 'Build the image for the cluster: image: {platform: linux/amd64} (or linux/arm64) in hpcrun.yaml.',
  },
  {
    pattern:
      /user namespace|newuidmap|newgidmap|subuid|subgid|fakeroot|setuid installation|(?:unshare|clone)\b.*not permitted/i,
    hint: (way) => `Apptainer may not do this there (user namespaces, fakeroot): try ${instead(way)}.`,
  },
  {
    pattern: /mksquashfs.*(?:not found|no such file)|unable to (?:find|locate) mksquashfs/i,
    hint: (way) => `mksquashfs is missing there; try ${way === 'apptainer' ? '--convert remote' : '--convert native'}.`,
  },
];

const killed = /signal: killed|\bKilled\b|out of memory|oom.?kill|cannot allocate memory|CPU time limit/i;

/** CONVERSION_FAILED with the end of what was printed, and a hint at what to try instead. */
export function conversionFailed(failure: BuildFailure): HpcrunError {
  const { way, place, status, jobState } = failure;
  const output = shorten(failure.output);
  const ended = jobState === undefined ? `status ${status}` : `the job ended: ${printable(jobState)}`;
  return new HpcrunError(
    'CONVERSION_FAILED',
    `converting the image on ${place} failed (${ended})${output === '' ? '' : `:\n${output}`}`,
    { hint: hintFor(failure, way) },
  );
}

function hintFor({ status, output, jobState = '' }: BuildFailure, way: WayName): string {
  if (/^TIMEOUT|^DEADLINE/.test(jobState)) return `The job needs more time: --time 1h. Or try ${instead(way)}.`;
  if (jobState.startsWith('PENDING')) {
    return `It would wait for ever. It asks for the resources of the run, without GPUs and for two hours at most: choose with --partition, --account, --time; or try ${instead(way)}.`;
  }
  // Whoever had no room may have been killed for it: being killed says less than a message.
  const cause = causes.find(({ pattern }) => pattern.test(output));
  if (cause) return cause.hint(way);
  if (jobState.startsWith('OUT_OF_MEMORY') || status >= 128 || killed.test(output)) return killedHint(way);
  return `Try ${instead(way)}.`;
}

function killedHint(way: WayName): string {
  switch (way) {
    case 'remote':
    case 'registry':
      return 'Login nodes end what takes much memory or time: try --convert slurm.';
    case 'slurm':
      return 'The job was ended: give it more memory, such as --memory 8G, or try --convert native.';
    case 'native':
    case 'apptainer':
      return `It was ended from outside, most likely for want of memory; try ${instead(way)}.`;
  }
}

/** The last lines, without the warnings about device files that every rootless build prints. */
function shorten(output: string): string {
  return printable(output)
    .split('\n')
    .filter((line) => line.trim() !== '' && !/warn rootless\{|^INFO:|--fix-perms option modifies/.test(line))
    .slice(-shownLines)
    .join('\n');
}
