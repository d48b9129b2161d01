/** Job states in SLURM's words (squeue man page, JOB STATE CODES). */

const endedStates = new Set([
  'BOOT_FAIL',
  'CANCELLED',
  'COMPLETED',
  'DEADLINE',
  'FAILED',
  'LAUNCH_FAILED',
  'NODE_FAIL',
  'OUT_OF_MEMORY',
  'PREEMPTED',
  'RECONFIG_FAIL',
  'REVOKED',
  'TIMEOUT',
]);

/** Whether a job in this state will not run any more. */
export function isEnded(state: string): boolean {
  return endedStates.has(state);
}

/** The state of one job, from whichever source knew it. */
export interface JobState {
  state: string;
  /** The job's own exit status; 128 + n if signal n ended it; undefined while it is not known. */
  exitCode: number | undefined;
  /** SLURM's word for why a job waits or ended; undefined if it gives none. */
  reason: string | undefined;
  elapsedSeconds: number | undefined;
  nodes: string | undefined;
  /** When it started, or is expected to; seconds since 1970. */
  startTime: number | undefined;
}

/** `CANCELLED by 1500` → `CANCELLED`. */
export function parseState(text: string): string {
  return /^[A-Z_]+/.exec(text)?.[0] ?? 'UNKNOWN';
}

/** sacct's `exit:signal` as a shell would report it; undefined if it is neither. */
export function parseExitCode(text: string): number | undefined {
  const match = /^(\d+):(\d+)$/.exec(text);
  if (!match) return undefined;
  const [code, signal] = [Number(match[1]), Number(match[2])];
  return code !== 0 || signal === 0 ? code : 128 + signal;
}

/** SLURM's `[days-]hours:minutes:seconds` or `minutes:seconds` as seconds; undefined if it is neither. */
export function parseElapsed(text: string): number | undefined {
  const match = /^(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)$/.exec(text);
  if (!match) return undefined;
  const [, days = '0', hours = '0', minutes = '0', seconds = '0'] = match;
  return Number(days) * 86_400 + Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
}

/** None, empty and SLURM's several ways of saying so. */
export function parseWord(text: string | undefined): string | undefined {
  return text === undefined || /^(?:|None|\(null\)|N\/A|NONE|None assigned|Unknown)$/.test(text) ? undefined : text;
}
