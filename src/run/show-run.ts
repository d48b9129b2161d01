import { RemoteLayout } from '../cluster/layout.js';
import { HpcrunError } from '../errors.js';
import { parseUsage, renderUsageQuery, type JobUsage } from '../slurm/usage.js';
import { quote } from '../ssh/quote.js';
import { remoteFailure, runRemote, scriptPrelude } from '../ssh/remote-script.js';
import type { RunRecord } from './record.js';
import type { Session } from './session.js';
import { queryRun, type RunStatus } from './status.js';
import { parseTaskId } from './sweep/task-record.js';

/** All that is known of a run. */
export interface ShownRun {
  run: RunStatus;
  /** Undefined where accounting is off, or before the job is known. */
  usage: JobUsage | undefined;
  /** Its directory on the cluster. */
  directory: string;
}

/** What a run was, how it stands and what it used. Throws RUN_NOT_FOUND and what a connection throws. */
export async function showRun(session: Session, record: RunRecord): Promise<ShownRun> {
  const { run } = await queryRun(session, record);
  const { directory } = new RemoteLayout(record.root, record.store).run(record.runId);
  // Of a sweep, each task has used something of its own.
  if (run.jobId === undefined || record.sweep) return { run, usage: undefined, directory };
  const { stdout } = await runRemote(
    await session.connect(),
    'asking what the job has used',
    renderUsageQuery(run.jobId),
    { signal: session.signal },
  );
  return { run, usage: parseUsage(stdout.toString('utf8'), parseTaskId(record.runId).runId), directory };
}

/** What a run's directory on the cluster keeps of how it was submitted. */
export const runFiles = {
  script: { name: 'job.sbatch', missing: 'its batch script is not there any more' },
  diff: { name: 'changes.patch', missing: 'nothing in its project was uncommitted' },
} as const;

/** Prints one of them, byte for byte. Throws RUN_NOT_FOUND if there is none. */
export async function printRunFile(
  session: Session,
  record: RunRecord,
  kind: keyof typeof runFiles,
  onOutput: (chunk: Buffer) => void,
): Promise<void> {
  const { name, missing } = runFiles[kind];
  // A task's are those of its sweep.
  const { directory } = new RemoteLayout(record.root, record.store).run(parseTaskId(record.runId).runId);
  const connection = await session.connect();
  const script = `${scriptPrelude}[ -d ${quote(directory)} ] || exit 4
[ -e ${quote(`${directory}/${name}`)} ] || exit 3
cat ${quote(`${directory}/${name}`)}
`;
  const result = await connection.stream(script, { signal: session.signal, onStdout: onOutput });
  if (result.exitCode === 3 || result.exitCode === 4) {
    throw new HpcrunError(
      'RUN_NOT_FOUND',
      result.exitCode === 3 ? `${record.runId}: ${missing}` : `not on ${session.cluster.name}: ${record.runId}`,
      {
        hint: '"hpcrun status" lists what is there.',
      },
    );
  }
  if (result.exitCode !== 0) throw remoteFailure(connection, `reading ${name}`, result);
}
