import { RemoteLayout } from '../cluster/layout.js';
import { HpcrunError } from '../errors.js';
import { isEnded } from '../slurm/states.js';
import { quote, quoteAll } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import { printable } from '../ssh/terminal-text.js';
import type { RunRecord } from './record.js';
import type { Session } from './session.js';
import { queryRuns, type RunStatus } from './status.js';

export interface CancelResult {
  run: RunStatus;
  /** False if it had ended already. */
  cancelled: boolean;
}

/** Cancels runs with one scancel. Runs that have ended are left alone and reported as such. Throws SLURM_REFUSED. */
export async function cancelRuns(session: Session, records: RunRecord[]): Promise<CancelResult[]> {
  const { runs } = await queryRuns(session, records);
  const live = runs.filter(({ state, jobId }) => !isEnded(state) && jobId !== undefined);
  const jobIds = live.flatMap(liveJobs);
  if (live.length > 0) {
    const connection = await session.connect();
    const tasks = live.flatMap(({ record, tasks }) =>
      tasks ? [new RemoteLayout(record.root).run(record.runId).directory] : [],
    );
    const states = live.map(({ record }) => new RemoteLayout(record.root).run(record.runId).state);
    const script = `find_slurm
# A job that is about to start itself anew looks for this; what SLURM has not taken of a sweep yet is not submitted any more.
for state in ${quoteAll(states)} ${tasks.map((directory) => `${quote(directory)}/tasks/*/state`).join(' ')}; do
  [ ! -d "$state" ] || : >"$state/cancelled"
done
${jobIds.length === 0 ? '' : `scancel ${quoteAll(jobIds)} </dev/null || exit 4`}
`;
    const result = await runRemote(connection, 'cancelling', script, { signal: session.signal, expected: [4] });
    if (result.exitCode === 4) {
      throw new HpcrunError('SLURM_REFUSED', `scancel failed: ${printable(result.stderr.trim())}`, {
        hint: 'Some may have been cancelled: hpcrun status',
      });
    }
  }
  return runs.map((run) => ({ run, cancelled: live.includes(run) }));
}

/** Of a sweep or chain, whose jobs may have ended in part, those that have not. */
function liveJobs({ jobId, otherJobIds = [], tasks }: RunStatus): string[] {
  if (jobId === undefined) return [];
  if (!tasks) return [jobId, ...otherJobIds];
  return [jobId, ...otherJobIds].filter((id) =>
    tasks.some((task) => task.jobId?.startsWith(`${id}_`) === true && !isEnded(task.state)),
  );
}
