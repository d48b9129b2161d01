import { notSubmittedReason } from '../../slurm/array-tasks.js';
import type { QueriedRun } from '../../slurm/query.js';
import type { RunRecord } from '../record.js';
import { fillCommand } from './fill-command.js';

/** A task of a sweep as a run of its own: its id is `RUN.N`, by which its directory is found. Undefined if there is no such task. */
export function taskRecord(record: RunRecord, index: number): RunRecord | undefined {
  const { sweep, ...run } = record;
  const values = sweep?.tasks[index];
  if (!sweep || !values) return undefined;
  return { ...run, runId: `${record.runId}.${index}`, command: fillCommand(record.command, sweep.parameters, values) };
}

/** `RUN.N` taken apart; of a whole run, `task` is undefined. */
export function parseTaskId(runId: string): { runId: string; task: number | undefined } {
  const match = /^(.+)\.(\d{1,7})$/.exec(runId);
  return match ? { runId: match[1] ?? '', task: Number(match[2]) } : { runId, task: undefined };
}

/** What is known of one task, in the place of its run. */
export function taskState(run: QueriedRun, index: number): QueriedRun | undefined {
  const found = run.tasks?.find((each) => each.index === index);
  if (!found) return undefined;
  const { jobId, exitCode, elapsedSeconds, nodes, startTime } = found;
  // Of a sweep that SLURM has taken in part, the rest is still to come.
  const isToCome = found.state === 'NOT_SUBMITTED' && run.jobId !== undefined;
  const { state, reason } = isToCome ? { state: 'PENDING', reason: notSubmittedReason } : found;
  return { runId: `${run.runId}.${index}`, jobId, state, exitCode, reason, elapsedSeconds, nodes, startTime };
}
