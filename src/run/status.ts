import type { RemoteLayout } from '../cluster/layout.js';
import { HpcrunError, messageOf } from '../errors.js';
import { neverSubmitted, parseQuery, renderQuery, type QueriedRun } from '../slurm/query.js';
import { quote } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import { printable } from '../ssh/terminal-text.js';
import { parseRecord, type RunRecord } from './record.js';
import { isRunId } from './run-id.js';
import type { Session } from './session.js';
import { parseTaskId, taskState } from './sweep/task-record.js';
import { topUpSweeps } from './sweep/top-up.js';

/** A run as `status` shows it. */
export interface RunStatus extends QueriedRun {
  record: RunRecord;
}

export interface QueryOptions {
  /** False for whoever wants no more tasks of a sweep to be submitted. */
  topsUp?: boolean;
}

/**
 * The state of runs, the oldest first, from one remote command for all of them; of every run on the cluster if `runIds`
 * is left out, also of those that another machine submitted. With `topsUp`, more of a sweep is submitted where there is room for it.
 */
export async function queryStatus(
  session: Session,
  runIds?: string[],
  { topsUp = true }: QueryOptions = {},
): Promise<{ runs: RunStatus[]; isComplete: boolean }> {
  const layout = await session.layout();
  const connection = await session.connect();
  const { stdout, stderr } = await runRemote(
    connection,
    'asking for the state of runs',
    renderQuery(layout.runs, runIds),
    {
      signal: session.signal,
    },
  );
  const { runs, isComplete } = parseQuery(stdout.toString('utf8'));
  if (!isComplete) {
    session.progress.warn(`SLURM did not answer, so states may be out of date: ${printable(stderr.trim())}`);
  }
  const known = await loadRecords(session, layout, runs.map(({ runId }) => runId).filter(isRunId));
  const statuses: RunStatus[] = [];
  for (const run of runs) {
    const record = known.get(run.runId);
    if (!record) continue;
    if (run.jobId !== undefined && record.jobId !== run.jobId) {
      const updated = { ...record, jobId: run.jobId };
      await session.records.save(updated);
      statuses.push({ ...run, record: updated });
    } else statuses.push({ ...run, record });
  }
  const there = new Set(statuses.map(({ runId }) => runId));
  for (const record of known.values()) {
    if (there.has(record.runId) || runIds?.includes(record.runId) === false) continue;
    if (record.jobId !== null || record.root !== layout.root) continue;
    if (Date.parse(record.createdAt) < Date.now() - forgottenAfterMs) await session.records.remove(record.runId);
    else statuses.push({ ...neverSubmitted, runId: record.runId, record });
  }
  statuses.sort((one, other) => (one.runId < other.runId ? -1 : 1));
  // What SLURM did not say may be that tasks are still running.
  if (topsUp && isComplete) await topUpSweeps(session, statuses);
  return { runs: statuses, isComplete };
}

/** So long is it shown that a submission was broken off before it arrived. */
const forgottenAfterMs = 24 * 3_600_000;

/** Records from this machine, and from the cluster for runs that were submitted elsewhere. */
async function loadRecords(session: Session, layout: RemoteLayout, runIds: string[]): Promise<Map<string, RunRecord>> {
  const records = new Map((await session.records.list()).map((record) => [record.runId, record]));
  const unknown = runIds.filter((runId) => !records.has(runId));
  if (unknown.length === 0) return records;
  const script = `cd ${quote(layout.runs)} || exit 0
while read -r id; do
  if [ -r "$id/run.json" ]; then cat "$id/run.json"; fi
  printf '\\0'
done
`;
  const { stdout } = await runRemote(await session.connect(), 'reading run records', script, {
    stdin: Buffer.from(unknown.map((runId) => `${runId}\n`).join('')),
    signal: session.signal,
  });
  for (const text of stdout.toString('utf8').split('\0')) {
    if (text.trim() === '') continue;
    try {
      const record = parseRecord(text);
      // A record says whose it is; anything else than what was asked for is not believed.
      if (!unknown.includes(record.runId) || records.has(record.runId)) continue;
      records.set(record.runId, record);
      await session.records.save(record);
    } catch (error) {
      session.progress.warn(`A run record on ${session.cluster.name} cannot be read: ${printable(messageOf(error))}`);
    }
  }
  return records;
}

/** As queryStatus, for runs that have to be there. Throws RUN_NOT_FOUND naming those that are gone from the cluster. */
export async function queryRuns(
  session: Session,
  wanted: RunRecord[],
  options: QueryOptions = {},
): Promise<{ runs: RunStatus[]; isComplete: boolean }> {
  const runIds = [...new Set(wanted.map(({ runId }) => parseTaskId(runId).runId))];
  const result = await queryStatus(session, runIds, options);
  const gone = wanted.filter((record) => !result.runs.some((run) => run.runId === parseTaskId(record.runId).runId));
  if (gone.length === 0) return { ...result, runs: withTasks(result.runs, wanted) };
  const names = gone.map(({ runId }) => runId).join(', ');
  throw new HpcrunError('RUN_NOT_FOUND', `not on ${session.cluster.name}: ${names}`, {
    hint: 'It was removed there, or its submission never arrived. "hpcrun status" lists what is there.',
  });
}

/** In the place of a sweep, those of its tasks that were asked for. */
function withTasks(runs: RunStatus[], wanted: RunRecord[]): RunStatus[] {
  return runs.flatMap((run) =>
    wanted.flatMap((record) => {
      const { runId, task } = parseTaskId(record.runId);
      if (runId !== run.runId) return [];
      if (task === undefined) return [run];
      const state = taskState(run, task);
      return state ? [{ ...state, record }] : [];
    }),
  );
}

/** The state of exactly one run. Throws RUN_NOT_FOUND if it is gone from the cluster. */
export async function queryRun(session: Session, record: RunRecord): Promise<{ run: RunStatus; isComplete: boolean }> {
  const { runs, isComplete } = await queryRuns(session, [record]);
  const [run] = runs;
  if (!run) throw new Error(`no state for ${record.runId}`);
  return { run, isComplete };
}
