import { hostname } from 'node:os';
import { HpcrunError } from '../errors.js';
import type { RunRecord } from './record.js';
import type { Session } from './session.js';
import { queryStatus } from './status.js';
import { taskRecord } from './sweep/task-record.js';

export const lastRun = '@last';

/**
 * The run a user means, or the task of a sweep by what names the sweep, a dot and the task's number, or by its SLURM job id
 * (`12_3`). Throws RUN_NOT_FOUND or RUN_AMBIGUOUS.
 */
export async function findRun(session: Session, wanted: string, projectDirectory?: string): Promise<RunRecord> {
  const [, byJob, byName, index] = /^(?:(\d+)_|(.+)\.)(\d{1,7})$/.exec(wanted) ?? [];
  const base = byJob ?? byName;
  if (base === undefined || pickRun(await session.records.list(), wanted)) {
    return await findWholeRun(session, wanted, projectDirectory);
  }
  const record = await findWholeRun(session, base, projectDirectory);
  const task = taskRecord(record, Number(index));
  if (task) return task;
  const count = record.sweep?.tasks.length;
  throw new HpcrunError(
    'RUN_NOT_FOUND',
    count === undefined
      ? `run ${record.runId} is no sweep, so that it has no task ${index ?? ''}`
      : `run ${record.runId} has ${count} tasks, from 0 to ${count - 1}, and no task ${index ?? ''}`,
    { hint: `hpcrun status ${record.runId}` },
  );
}

/**
 * The run a user means by a run id, a unique beginning of one, a SLURM job id, a name (the latest run of that name) or
 * `@last`: the last run of the project one is in, of all where one is in none. Looks at this machine's records first,
 * then on the cluster. Throws RUN_NOT_FOUND or RUN_AMBIGUOUS.
 */
async function findWholeRun(session: Session, wanted: string, projectDirectory?: string): Promise<RunRecord> {
  const local = await session.records.list();
  if (wanted === lastRun && projectDirectory !== undefined) {
    const own = local.findLast(
      ({ origin }) => origin.projectDirectory === projectDirectory && origin.host === hostname(),
    );
    if (own) return own;
    throw new HpcrunError(
      'RUN_NOT_FOUND',
      `this project has no runs on ${session.cluster.name} yet: ${projectDirectory}`,
      {
        hint: 'hpcrun submit train.py, or name a run of another project: "hpcrun status" lists them.',
      },
    );
  }
  const known = pickRun(local, wanted);
  if (known) return known;
  const { runs } = await queryStatus(session, undefined, { topsUp: false });
  const remote = pickRun(
    runs.map(({ record }) => record),
    wanted,
  );
  if (remote) return remote;
  const what = wanted === lastRun ? 'there are no runs yet' : `there is no run "${wanted}"`;
  throw new HpcrunError('RUN_NOT_FOUND', `${what} on ${session.cluster.name}`, {
    hint:
      wanted === lastRun
        ? 'hpcrun submit train.py'
        : '"hpcrun status" lists the runs; --cluster chooses another cluster.',
  });
}

/** Several runs, in the order they were named. */
export async function findRuns(session: Session, wanted: string[], projectDirectory?: string): Promise<RunRecord[]> {
  const records: RunRecord[] = [];
  for (const name of wanted) records.push(await findRun(session, name, projectDirectory));
  return records;
}

/** Pure part of findRun; records are sorted, the oldest first. */
export function pickRun(records: RunRecord[], wanted: string): RunRecord | undefined {
  if (wanted === lastRun) return records.at(-1);
  const exact =
    records.find(({ runId }) => runId === wanted) ??
    records.findLast(({ jobId }) => jobId === wanted) ??
    records.findLast(({ name }) => name === wanted);
  if (exact) return exact;
  const matches = records.filter(
    ({ runId }) => wanted !== '' && (runId.startsWith(wanted) || runId.endsWith(`-${wanted}`)),
  );
  if (matches.length > 1) {
    const names = matches.slice(-5).map(({ runId }) => runId);
    throw new HpcrunError('RUN_AMBIGUOUS', `"${wanted}" could be any of ${matches.length} runs: ${names.join(', ')}`, {
      hint: 'Give more of the id.',
    });
  }
  return matches[0];
}
