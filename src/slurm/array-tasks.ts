import { isEnded, type JobState } from './states.js';

/** One task of a sweep. */
export interface TaskState extends JobState {
  /** From 0, over all of the sweep's job arrays. */
  index: number;
  /** As SLURM names it, such as `12_3`; undefined while it is not submitted. */
  jobId: string | undefined;
}

/** A job's id, with the indices of the array tasks that a line of squeue or sacct is about. */
export interface JobIds {
  jobId: string;
  /** Undefined for a job that is no array. */
  tasks: number[] | undefined;
}

// What SLURM itself allows at the most (slurm.conf man page, MaxArraySize).
const largestIndex = 4_000_000;

/**
 * Reads `12`, `12_3`, and what squeue and sacct print for tasks that wait: `12_[3-9%4]`, `12_[1,4-7:3]`. Undefined for
 * anything else, such as `12+0` or a list that SLURM has cut off.
 */
export function parseJobIds(text: string): JobIds | undefined {
  const match = /^(\d+)(?:_(?:(\d+)|\[([\d,:-]+)(?:%\d+)?\]))?$/.exec(text);
  if (!match) return undefined;
  const [, jobId = '', one, list] = match;
  if (one === undefined && list === undefined) return { jobId, tasks: undefined };
  const tasks: number[] = [];
  for (const item of (one ?? list ?? '').split(',')) {
    const range = /^(\d+)(?:-(\d+)(?::(\d+))?)?$/.exec(item);
    if (!range) return undefined;
    const first = Number(range[1]);
    const last = Number(range[2] ?? range[1]);
    const step = Number(range[3] ?? 1);
    if (last > largestIndex || step < 1) return undefined;
    for (let index = first; index <= last; index += step) tasks.push(index);
  }
  return { jobId, tasks };
}

/** How far a sweep has come. */
export interface TaskCounts {
  total: number;
  /** Completed; those that ended otherwise are in `failed`. */
  done: number;
  failed: number;
  /** Have started and not ended. */
  running: number;
}

export function countTasks(tasks: TaskState[]): TaskCounts {
  const done = tasks.filter(({ state }) => state === 'COMPLETED').length;
  const failed = tasks.filter(({ state }) => isEnded(state)).length - done;
  return { total: tasks.length, done, failed, running: tasks.filter(isRunning).length };
}

/** `37/200 done, 2 failed` of a sweep; undefined for other runs. */
export function describeProgress(tasks: TaskState[] | undefined): string | undefined {
  if (!tasks) return undefined;
  const { total, done, failed } = countTasks(tasks);
  return `${done}/${total} done${failed === 0 ? '' : `, ${failed} failed`}`;
}

function isRunning({ state }: TaskState): boolean {
  return !isEnded(state) && !['PENDING', 'NOT_SUBMITTED', 'UNKNOWN'].includes(state);
}

/**
 * The state of a whole sweep: running while a task runs, pending while one waits, completed when all are. One that has
 * failed has the state and exit status that all failed tasks share, or else FAILED and 1.
 */
export function summarizeTasks(tasks: TaskState[]): JobState {
  const running = tasks.filter(isRunning);
  const started = tasks.flatMap(({ startTime, state }) => (state === 'PENDING' ? [] : (startTime ?? [])));
  const elapsed = tasks.flatMap(({ elapsedSeconds }) => elapsedSeconds ?? []);
  const summary = {
    exitCode: undefined,
    reason: undefined,
    // Tasks need not have run at the same time: the longest is what is known for certain.
    elapsedSeconds: elapsed.length === 0 ? undefined : Math.max(...elapsed),
    nodes: running.length === 0 ? undefined : joinNodes(running),
    startTime: started.length === 0 ? undefined : Math.min(...started),
  };
  if (running.length > 0) return { ...summary, state: 'RUNNING' };
  const pending = tasks.find(({ state }) => state === 'PENDING');
  if (pending) return { ...summary, state: 'PENDING', reason: pending.reason, startTime: pending.startTime };
  const hasEnded = tasks.filter(({ state }) => isEnded(state));
  if (tasks.some(({ state }) => state === 'NOT_SUBMITTED')) {
    if (hasEnded.length === 0) return { ...summary, state: 'NOT_SUBMITTED' };
    return { ...summary, state: 'PENDING', reason: notSubmittedReason };
  }
  if (hasEnded.length < tasks.length) return { ...summary, state: 'UNKNOWN' };
  const failed = hasEnded.filter(({ state }) => state !== 'COMPLETED');
  const [first] = failed;
  if (!first) return { ...summary, state: 'COMPLETED', exitCode: 0 };
  if (failed.some(({ state }) => state !== first.state)) return { ...summary, state: 'FAILED', exitCode: 1 };
  if (failed.every(({ exitCode }) => exitCode === first.exitCode))
    return { ...summary, state: first.state, exitCode: first.exitCode };
  // Of tasks that were cancelled or stopped, those that had begun have a status of their own.
  return { ...summary, state: first.state, exitCode: first.state === 'FAILED' ? 1 : undefined };
}

/** Why a sweep waits of which a part has not been taken by SLURM yet; not one of SLURM's own words. */
export const notSubmittedReason = 'SubmitLimit';

function joinNodes(tasks: TaskState[]): string | undefined {
  const nodes = [...new Set(tasks.flatMap(({ nodes: each }) => each ?? []))].sort();
  if (nodes.length === 0) return undefined;
  return nodes.length > 3 ? `${nodes.slice(0, 3).join(',')},…` : nodes.join(',');
}
