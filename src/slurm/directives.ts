import { HpcrunError } from '../errors.js';
import {
  applyRules,
  gpuOptions,
  memoryOptions,
  plainOptions,
  siteOptions,
  type SbatchOption,
  type SlurmRules,
} from './rules.js';
import type { SaveSignal } from './signals.js';
import { taskOptions } from './tasks.js';

/** What a job asks SLURM for. */
export interface ResourceRequest {
  /** Of each node. */
  gpus?: { type?: string | undefined; count: number } | undefined;
  nodes?: number | undefined;
  /** On all nodes together. */
  tasks?: number | undefined;
  tasksPerNode?: number | undefined;
  /** Of each task. */
  cpus?: number | undefined;
  /** Of each node, in SLURM's spelling, such as `32G`. */
  memory?: string | undefined;
  memoryPerCpu?: string | undefined;
  memoryPerGpu?: string | undefined;
  /** Seconds. */
  time?: number | undefined;
  partition?: string | undefined;
  account?: string | undefined;
  qos?: string | undefined;
  constraint?: string | undefined;
  reservation?: string | undefined;
  exclude?: string | undefined;
  nodelist?: string | undefined;
  dependency?: string | undefined;
  begin?: string | undefined;
  mailType?: string | undefined;
  mailUser?: string | undefined;
  /** Any other option of sbatch, without the dashes. */
  sbatchArgs?: { name: string; value?: string | undefined }[] | undefined;
}

/** How work that takes longer than its time limit goes on. */
export interface ResumeRules {
  /** How long before the limit SLURM tells the batch shell. */
  beforeSeconds: number;
  /** By which the batch shell tells the script. */
  signal: SaveSignal;
  /** How often it may be started anew. */
  maxRestarts: number;
  /** Of a chain: how many jobs are submitted at the beginning. */
  links?: number | undefined;
}

export interface JobHead {
  name: string;
  /** Travels with the job, so that it can be found when an answer is lost. */
  comment: string;
  /** Absolute paths on the cluster. */
  logPath: string;
  /** Absolute, with sbatch's %-patterns: instead of logPath, for the tasks of an array. */
  logPattern?: string | undefined;
  workingDirectory: string;
  resources: ResourceRequest;
  /** How it goes on at its time limit, if it does. */
  resume?: ResumeRules | undefined;
}

/**
 * The options of the job's `#SBATCH` lines (sbatch man page), one each, as the site's rules want them. A value that could end its
 * line or begin another option is refused with USAGE.
 */
export function renderDirectives(head: JobHead, rules: SlurmRules = {}): string[] {
  const asked = applyRules(head.resources, rules);
  const { cpus, time } = asked;
  const plain = Object.entries(plainOptions).flatMap(([key, name]) =>
    optional(name, asked[key as keyof typeof plainOptions]),
  );
  const own: SbatchOption[] = [
    ['job-name', head.name],
    ['comment', head.comment],
    // In file names, sbatch replaces %-patterns.
    ['output', head.logPattern ?? head.logPath.replaceAll('%', '%%')],
    ['open-mode', 'append'],
    ['chdir', head.workingDirectory],
    ...taskOptions(asked),
    ...resumeOptions(head),
  ];
  const wished: SbatchOption[] = [
    ...optional('cpus-per-task', cpus?.toString()),
    ...memoryOptions(asked, rules),
    ...optional('time', time === undefined ? undefined : renderTime(time)),
    ...gpuOptions(asked, rules),
    ...plain,
  ];
  // What the user says goes before what the site says; sbatch takes the last of two lines.
  const site = siteOptions(asked, rules).filter(
    ([name]) => name === 'gres' || [...own, ...wished].every(([given]) => given !== name),
  );
  return addArguments([...own, ...wished, ...site], asked.sbatchArgs ?? [])
    .filter(([name]) => !rules.forbidden?.includes(name))
    .map(([name, value]) => renderOption(name, value));
}

/** The batch shell is told before the limit, and the job may be put back into the queue (sbatch man page, --signal and --requeue). */
function resumeOptions({ resume, resources }: JobHead): SbatchOption[] {
  if (!resume) return [];
  const signal: SbatchOption = ['signal', `B:USR1@${resume.beforeSeconds}`];
  const isSaid = resources.sbatchArgs?.some(({ name }) => name === 'no-requeue' || name === 'requeue') ?? false;
  // The links of a chain follow each other; none of them is to take its place in the queue anew by itself.
  return resume.links !== undefined || isSaid ? [signal] : [signal, ['requeue', undefined]];
}

/** The user's own options take the place of others; generic resources add up in one option, where the first of them stands. */
function addArguments(options: SbatchOption[], added: NonNullable<ResourceRequest['sbatchArgs']>): SbatchOption[] {
  const all: SbatchOption[] = [
    ...options.filter(([name]) => name === 'gres' || added.every((each) => each.name !== name)),
    ...added.map(({ name, value }): SbatchOption => [name, value]),
  ];
  const gres = all.flatMap(([name, value]) => (name === 'gres' && value !== undefined ? [value] : []));
  const first = all.findIndex(([name]) => name === 'gres');
  return all.flatMap(([name, value], index): typeof all => {
    if (name !== 'gres') return [[name, value]];
    return index === first ? [['gres', gres.join(',')]] : [];
  });
}

function optional(name: string, value: string | undefined): SbatchOption[] {
  return value === undefined ? [] : [[name, value]];
}

function renderOption(name: string, value: string | undefined): string {
  if (value === undefined) return `--${name}`;
  // eslint-disable-next-line no-control-regex -- a newline would start a line of the script
  if (/[\u0000-\u001f\u007f"'\\#]/.test(value)) {
    throw new HpcrunError('USAGE', `${JSON.stringify(value)} cannot be the value of #SBATCH --${name}`, {
      hint: 'Leave out quotes, backslashes, # and control characters.',
    });
  }
  return `--${name}=${value.includes(' ') ? `"${value}"` : value}`;
}

/** Seconds as `days-hours:minutes:seconds`. */
export function renderTime(seconds: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const clock = `${two(Math.floor(seconds / 3600) % 24)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return `${Math.floor(seconds / 86_400)}-${clock}`;
}
