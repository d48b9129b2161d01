import { quote } from '../ssh/quote.js';
import { jobComment } from './query.js';
import { parseElapsed, parseWord } from './states.js';

/** What a job was given and what it used, as far as SLURM's accounting knows. Times are seconds since 1970. */
export interface JobUsage {
  submittedAt: number | undefined;
  startedAt: number | undefined;
  endedAt: number | undefined;
  /** Of all its processes together. */
  cpuSeconds: number | undefined;
  /** The largest resident size of one of its tasks. */
  peakMemoryBytes: number | undefined;
  /** In SLURM's words, such as `cpu=4,gres/gpu=1,mem=16G`. */
  allocated: string | undefined;
}

/** A script, for `runRemote`, that asks sacct for a job and its steps; it prints nothing where there is no accounting. */
export function renderUsageQuery(jobId: string): string {
  return `find_slurm
for name in $(env | sed -n 's/^\\(SACCT_[A-Za-z0-9_]*\\)=.*/\\1/p'); do unset "$name"; done
SLURM_TIME_FORMAT=%s; export SLURM_TIME_FORMAT
sacct -n -P -j ${quote(jobId)} -o JobIDRaw,Submit,Start,End,TotalCPU,MaxRSS,AllocTRES,Comment 2>/dev/null </dev/null | sed 's/^/usage|/'
exit 0
`;
}

/** Undefined if accounting does not know the run's job. A job of the same id that is somebody else's is passed over. */
export function parseUsage(output: string, runId: string): JobUsage | undefined {
  const lines = output.split('\n').flatMap((line) => {
    const [source, jobId = '', ...fields] = line.split('|');
    return source === 'usage' ? [{ jobId, fields }] : [];
  });
  const job = lines.find(({ jobId }) => /^\d+$/.test(jobId));
  if (!job) return undefined;
  const comment = job.fields.slice(6).join('|');
  if (parseWord(comment) !== undefined && !comment.includes(jobComment(runId))) return undefined;
  const [submitted, started, ended, cpu, , allocated] = job.fields;
  const peaks = lines.flatMap(({ fields }) => parseMemorySize(fields[4]) ?? []);
  return {
    submittedAt: parseTime(submitted),
    startedAt: parseTime(started),
    endedAt: parseTime(ended),
    cpuSeconds: parseCpuTime(cpu ?? ''),
    peakMemoryBytes: peaks.length === 0 ? undefined : Math.max(...peaks),
    allocated: parseWord(allocated),
  };
}

function parseTime(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** sacct's `[days-]hours:minutes:seconds` or `minutes:seconds.milliseconds`; undefined if it is neither. */
function parseCpuTime(text: string): number | undefined {
  const [whole = '', fraction = '0'] = text.split('.');
  const seconds = parseElapsed(whole);
  return seconds === undefined ? undefined : seconds + Number(`0.${fraction}`);
}

/** sacct's sizes, in units of 1024: `812K`, `1.5G`; undefined if it is none. */
function parseMemorySize(text: string | undefined): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([KMGTP]?)$/.exec(text ?? '');
  if (!match) return undefined;
  return Math.round(Number(match[1]) * 1024 ** ' KMGTP'.indexOf(match[2] === '' ? ' ' : (match[2] ?? ' ')));
}
