import { HpcrunError } from '../errors.js';
import { isEnded } from '../slurm/states.js';
import { quoteAll } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import type { RunRecord } from './record.js';
import type { Session } from './session.js';
import { queryStatus, type RunStatus } from './status.js';

export interface CancelResult {
  run: RunStatus;
  /** False if it had ended already. */
  cancelled: boolean;
}

/** Cancels runs with one scancel. Runs that have ended are left alone and reported as such. Throws SLURM_REFUSED. */
export async function cancelRuns(session: Session, records: RunRecord[]): Promise<CancelResult[]> {
  const { runs } = await queryStatus(
    session,
    records.map(({ runId }) => runId),
  );
  const live = runs.filter(({ state, jobId }) => !isEnded(state) && jobId !== undefined);
  const jobIds = live.flatMap(({ jobId }) => (jobId === undefined ? [] : [jobId]));
  if (jobIds.length > 0) {
    const connection = await session.connect();
    const script = `scancel ${quoteAll(jobIds)} </dev/null || exit 4\n`;
    const result = await runRemote(connection, 'cancelling', script, { signal: session.signal, expected: [4] });
    if (result.exitCode === 4) {
      throw new HpcrunError('SLURM_REFUSED', `scancel failed: ${result.stderr.trim()}`, { hint: 'hpcrun status' });
    }
  }
  return runs.map((run) => ({ run, cancelled: live.includes(run) }));
}
