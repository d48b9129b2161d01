import { HpcrunError } from '../errors.js';

/** What a job asks SLURM for. */
export interface ResourceRequest {
  gpus?: { type?: string | undefined; count: number } | undefined;
  cpus?: number | undefined;
  /** In SLURM's spelling, such as `32G`. */
  memory?: string | undefined;
  /** Seconds. */
  time?: number | undefined;
  partition?: string | undefined;
  account?: string | undefined;
}

export interface JobHead {
  name: string;
  /** Travels with the job, so that it can be found when an answer is lost. */
  comment: string;
  /** Absolute paths on the cluster. */
  logPath: string;
  workingDirectory: string;
  resources: ResourceRequest;
}

/**
 * The options of the job's `#SBATCH` lines (sbatch man page), one each. A value that could end its line or begin another
 * option is refused with USAGE.
 */
export function renderDirectives({ name, comment, logPath, workingDirectory, resources }: JobHead): string[] {
  const { gpus, cpus, memory, time, partition, account } = resources;
  return [
    option('job-name', name),
    option('comment', comment),
    // In file names, sbatch replaces %-patterns.
    option('output', logPath.replaceAll('%', '%%')),
    option('open-mode', 'append'),
    option('chdir', workingDirectory),
    option('nodes', '1'),
    option('ntasks', '1'),
    ...(cpus === undefined ? [] : [option('cpus-per-task', String(cpus))]),
    ...(memory === undefined ? [] : [option('mem', memory)]),
    ...(time === undefined ? [] : [option('time', renderTime(time))]),
    ...(gpus === undefined || gpus.count === 0 ? [] : [option('gres', renderGres(gpus))]),
    ...(partition === undefined ? [] : [option('partition', partition)]),
    ...(account === undefined ? [] : [option('account', account)]),
  ];
}

function option(name: string, value: string): string {
  // eslint-disable-next-line no-control-regex -- a newline would start a line of the script
  if (/[\u0000-\u001f\u007f"'\\#]/.test(value)) {
    throw new HpcrunError('USAGE', `${JSON.stringify(value)} cannot be the value of #SBATCH --${name}`, {
      hint: 'Leave out quotes, backslashes, # and control characters.',
    });
  }
  return `--${name}=${value.includes(' ') ? `"${value}"` : value}`;
}

function renderGres({ type, count }: { type?: string | undefined; count: number }): string {
  return type === undefined ? `gpu:${count}` : `gpu:${type}:${count}`;
}

/** Seconds as `days-hours:minutes:seconds`. */
export function renderTime(seconds: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const clock = `${two(Math.floor(seconds / 3600) % 24)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return `${Math.floor(seconds / 86_400)}-${clock}`;
}
