import { HpcrunError } from '../errors.js';
import { formatDuration } from '../progress.js';
import type { RunRecord } from '../run/record.js';
import type { Session } from '../run/session.js';
import type { RunStatus } from '../run/status.js';
import { describeParameters } from '../run/sweep/sweep.js';
import { printTaskLogs } from '../run/sweep/task-logs.js';
import { exitStatusOf, waitForRun } from '../run/wait.js';
import { describeProgress, type TaskState } from '../slurm/array-tasks.js';
import type { Context } from './context.js';
import { describeRun, printJson, renderTable, runObject } from './output.js';

/** A task as `--json` shows it; what is not known is null. */
export function taskObject({ record, runId }: RunStatus, task: TaskState) {
  const values = record.sweep?.tasks[task.index] ?? [];
  return {
    type: 'task',
    runId,
    task: task.index,
    jobId: task.jobId ?? null,
    parameters: Object.fromEntries((record.sweep?.parameters ?? []).map((name, column) => [name, values[column]])),
    state: task.state,
    exitCode: task.exitCode ?? null,
    reason: task.reason ?? null,
    elapsedSeconds: task.elapsedSeconds ?? null,
    nodes: task.nodes ?? null,
  };
}

/** The tasks of a sweep as a table for people. */
export function renderTaskTable({ record, tasks = [] }: RunStatus): string {
  const parameters = record.sweep?.parameters ?? [];
  const rows = tasks.map((task) => [
    String(task.index),
    task.jobId ?? '-',
    ...(record.sweep?.tasks[task.index] ?? []),
    task.exitCode === undefined || task.exitCode === 0 ? task.state : `${task.state} (${task.exitCode})`,
    task.elapsedSeconds === undefined ? '-' : formatDuration(task.elapsedSeconds),
    task.nodes ?? task.reason ?? '-',
  ]);
  return renderTable(['TASK', 'JOB', ...parameters, 'STATE', 'ELAPSED', 'NODE OR REASON'], rows);
}

/** `RUN.3 (lr=0.1 seed=1)`. */
export function describeTask({ runId, sweep }: RunRecord, index: number): string {
  return `${runId}.${index}${sweep ? ` (${describeParameters(sweep, index)})` : ''}`;
}

/** Waits for a sweep and says how far it has come; the output of its tasks would be mixed up. */
export async function attendSweep(
  session: Session,
  { terminal }: Context,
  { record, json }: { record: RunRecord; json: boolean },
): Promise<number> {
  let shown = '';
  const run = await waitForRun(session, record, (change) => {
    const text = `${change.state}: ${describeProgress(change.tasks) ?? ''}`;
    if (text !== shown) terminal.note(text);
    shown = text;
  });
  if (json) printJson(runObject(run));
  terminal.note(`${describeRun(run)}, ${describeProgress(run.tasks) ?? ''}`);
  for (const { index } of (run.tasks ?? []).filter(({ state }) => state !== 'COMPLETED').slice(0, 10)) {
    terminal.note(`  hpcrun logs ${describeTask(record, index)}`);
  }
  if (!json) terminal.note(`  hpcrun pull-results ${record.runId}`);
  return exitStatusOf(run);
}

/** `hpcrun logs` of a sweep: the output of all tasks, each under its parameters. Throws USAGE where it is to be followed. */
export async function showSweepLogs(
  session: Session,
  record: RunRecord,
  { follow, json }: { follow?: boolean; json?: boolean },
): Promise<number> {
  if (follow === true) {
    throw new HpcrunError('USAGE', `${record.runId} is a sweep: the output of one of its tasks can be followed`, {
      hint: `hpcrun logs -f ${record.runId}.0`,
    });
  }
  await printTaskLogs(session, record, (chunk) => {
    if (json) printJson({ type: 'output', runId: record.runId, text: chunk.toString('utf8') });
    else process.stdout.write(chunk);
  });
  return 0;
}
