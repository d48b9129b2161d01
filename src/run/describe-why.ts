import { isEnded, type JobState } from '../slurm/states.js';
import { explainReason, explainState } from '../slurm/reasons.js';

type Described = Pick<JobState, 'state' | 'reason' | 'startTime' | 'nodes'>;

/**
 * Why a job waits or is in an unusual state, for people: SLURM's word, what it means, and when the job is expected to start. Undefined
 * where there is nothing to say.
 * @param now milliseconds since 1970
 */
export function describeWhy(run: Described, now: number): string | undefined {
  const { state } = run;
  // Accounting keeps, of a job that has ended, why it once waited.
  const isOver = isEnded(state) && run.reason !== undefined && explainReason(run.reason) !== undefined;
  const reason = isOver ? undefined : run.reason;
  const meaning = (reason === undefined ? undefined : explainReason(reason)) ?? explainState(state);
  const why = [reason, meaning].filter((part) => part !== undefined).join(': ');
  const start = describeStart(run, now);
  const parts = [...(why === '' ? [] : [why]), ...(start === undefined ? [] : [start])];
  return parts.length === 0 ? undefined : parts.join('; ');
}

function describeStart({ state, startTime }: Described, now: number): string | undefined {
  if (state !== 'PENDING' || startTime === undefined || startTime * 1000 <= now) return undefined;
  const [start, today] = [startTime * 1000, now].map((time) => new Date(time).toLocaleString('sv-SE'));
  if (start === undefined || today === undefined) return undefined;
  const isToday = start.slice(0, 10) === today.slice(0, 10);
  return `expected to start ${isToday ? `at ${start.slice(11, 16)}` : start.slice(0, 16)}`;
}

/** What is said of a job that waits. */
export function describeWaiting(run: Described, now: number): string {
  const why = describeWhy(run, now);
  return `Waiting in the queue${why === undefined ? '' : ` (${why})`}.`;
}

/** Where it runs or ran, or why it does not run. */
export function describePlace(run: Described, now: number): string {
  const why = describeWhy(run, now);
  if (run.nodes === undefined) return why ?? '-';
  // Of a job that has ended, what SLURM calls the reason is in its state already.
  return explainState(run.state) === undefined || why === undefined ? run.nodes : `${run.nodes}; ${why}`;
}
