import type { RunStatus } from '../run/status.js';
import { countTasks, describeProgress } from '../slurm/array-tasks.js';
import type { Context } from './context.js';
import { describePlace, describeWhy } from '../run/describe-why.js';
import { formatDuration } from '../progress.js';
import { printable } from '../ssh/terminal-text.js';

/** One JSON object on a line of standard output. */
export function printJson(object: { type: string } & Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(object)}\n`);
}

export function printLine(text: string): void {
  process.stdout.write(`${printable(text)}\n`);
}

/** A run as `--json` shows it; what is not known is null. */
export function runObject(run: RunStatus) {
  const { runId, record, tasks, jobId, state, exitCode, reason, elapsedSeconds, nodes, startTime, restarts } = run;
  return {
    type: 'run',
    runId,
    jobId: jobId ?? null,
    name: record.name,
    state,
    exitCode: exitCode ?? null,
    reason: reason ?? null,
    elapsedSeconds: elapsedSeconds ?? null,
    cluster: record.cluster,
    nodes: nodes ?? null,
    restarts: restarts ?? 0,
    startTime: startTime === undefined ? null : new Date(startTime * 1000).toISOString(),
    ...(tasks ? { tasks: countTasks(tasks) } : {}),
  };
}

/**
 * Runs as a table for people.
 * @param options.now milliseconds since 1970
 */
export function renderRunTable(
  runs: RunStatus[],
  { hasClusters = false, now = Date.now() }: { hasClusters?: boolean; now?: number } = {},
): string {
  const rows = runs.map((run) => [
    ...(hasClusters ? [run.record.cluster] : []),
    run.record.runId,
    run.jobId ?? '-',
    run.record.name,
    [
      run.exitCode === undefined || run.exitCode === 0 ? run.state : `${run.state} (${run.exitCode})`,
      ...(run.tasks ? [describeProgress(run.tasks)] : []),
    ].join(': '),
    run.elapsedSeconds === undefined ? '-' : formatDuration(run.elapsedSeconds),
    describePlace(run, now),
  ]);
  return renderTable(
    [...(hasClusters ? ['CLUSTER'] : []), 'RUN', 'JOB', 'NAME', 'STATE', 'ELAPSED', 'NODE OR REASON'],
    rows,
  );
}

/** Columns as wide as their widest cell, two blanks apart. */
export function renderTable(head: string[], rows: string[][]): string {
  const cells = [head, ...rows.map((row) => row.map((cell) => printable(cell).replaceAll('\n', '\\n')))];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** What happened to a run, in a sentence. */
export function describeRun(run: RunStatus): string {
  const status = run.exitCode === undefined ? '' : `, exit status ${run.exitCode}`;
  const why = describeWhy(run, Date.now());
  const reason = why === undefined ? '' : ` (${why})`;
  const elapsed = run.elapsedSeconds === undefined ? '' : ` after ${formatDuration(run.elapsedSeconds)}`;
  return `Run ${run.runId}, job ${run.jobId ?? '-'}: ${run.state}${reason}${status}${elapsed}`;
}

/** What would mend a run that has failed, if anything is known. */
export function noteAdvice({ terminal }: Pick<Context, 'terminal'>, advice: string | undefined): void {
  if (advice !== undefined) terminal.note(`  ${advice}`);
}

/** Writes bytes as they are; the promise is settled when there is room for more. */
export function writeAll(stream: NodeJS.WriteStream): (chunk: Buffer) => void | Promise<void> {
  return (chunk) => {
    if (stream.write(chunk)) return;
    return new Promise((resolve) => {
      stream.once('drain', resolve);
    });
  };
}
