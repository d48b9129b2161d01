import { RemoteLayout } from '../../cluster/layout.js';
import { isEnded } from '../../slurm/states.js';
import { HpcrunError } from '../../errors.js';
import { runRemote } from '../../ssh/remote-script.js';
import type { Session } from '../session.js';
import type { RunStatus } from '../status.js';
import { renderTopUp } from './submit-tasks.js';

/**
 * Submits what SLURM did not take of sweeps when they were submitted, once half of what it took has ended. Whoever asks for the
 * state of a sweep does so; on the far side, one at a time. That it cannot be done is a warning: the state is known all the same.
 */
export async function topUpSweeps(session: Session, runs: RunStatus[]): Promise<void> {
  for (const { record, tasks = [], jobId } of runs) {
    const submitted = tasks.filter((task) => task.jobId !== undefined);
    const live = submitted.filter(({ state }) => !isEnded(state) && state !== 'UNKNOWN');
    const hasMore = tasks.some(({ state }) => state === 'NOT_SUBMITTED');
    if (!record.sweep || jobId === undefined || !hasMore || live.length > submitted.length / 2) continue;
    const { directory } = new RemoteLayout(record.root, record.store).run(record.runId);
    const script = renderTopUp(directory, record, record.sweep);
    try {
      const options = { signal: session.signal, timeoutMs: 180_000 };
      const { stdout } = await runRemote(await session.connect(), 'submitting more of a sweep', script, options);
      if (stdout.includes('submitted'))
        session.progress.note(`Submitted more tasks of ${record.runId}, which SLURM had not taken at once.`);
    } catch (error) {
      if (!(error instanceof HpcrunError) || error.code === 'INTERRUPTED') throw error;
      session.progress.warn(`No more tasks of ${record.runId} could be submitted: ${error.message}`);
    }
  }
}
