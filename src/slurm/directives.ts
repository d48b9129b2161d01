import { HpcrunError } from '../errors.js';
import { applyRules, gpuOptions, memoryOptions, siteOptions, type SbatchOption, type SlurmRules } from './rules.js';

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
 * The options of the job's `#SBATCH` lines (sbatch man page), one each, as the site's rules want them. A value that could end its
 * line or begin another option is refused with USAGE.
 */
export function renderDirectives(head: JobHead, rules: SlurmRules = {}): string[] {
  const asked = applyRules(head.resources, rules);
  const { cpus, time, partition, account } = asked;
  const options: SbatchOption[] = [
    ['job-name', head.name],
    ['comment', head.comment],
    // In file names, sbatch replaces %-patterns.
    ['output', head.logPath.replaceAll('%', '%%')],
    ['open-mode', 'append'],
    ['chdir', head.workingDirectory],
    ['nodes', '1'],
    ['ntasks', '1'],
    ...optional('cpus-per-task', cpus?.toString()),
    ...memoryOptions(asked, rules),
    ...optional('time', time === undefined ? undefined : renderTime(time)),
    ...gpuOptions(asked, rules),
    ...optional('partition', partition),
    ...optional('account', account),
    ...siteOptions(asked, rules),
  ];
  return options.filter(([name]) => !rules.forbidden?.includes(name)).map(([name, value]) => renderOption(name, value));
}

function optional(name: string, value: string | undefined): SbatchOption[] {
  return value === undefined ? [] : [[name, value]];
}

function renderOption(name: string, value: string): string {
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
