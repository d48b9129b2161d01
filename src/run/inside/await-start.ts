import { RemoteLayout } from '../../cluster/layout.js';
import { throwIfInterrupted } from '../../errors.js';
import { isEnded } from '../../slurm/states.js';
import { quote } from '../../ssh/quote.js';
import { runRemote } from '../../ssh/remote-script.js';
import type { RunRecord } from '../record.js';
import type { Session } from '../session.js';
import { queryRun, type RunStatus } from '../status.js';

/**
 * Waits until a run's job runs, or has ended. Between two questions to SLURM the far side watches for what the job writes when it
 * starts, so that nobody waits for the next question.
 */
export async function awaitStart(
  session: Session,
  record: RunRecord,
  onChange: (run: RunStatus) => void,
): Promise<RunStatus> {
  const { state, sentinel } = new RemoteLayout(record.root, record.store).run(record.runId);
  const seconds = Math.ceil(session.cluster.pollSeconds);
  const script = `left=${seconds * 4}
while [ "$left" -gt 0 ] && [ ! -e ${quote(`${state}/enter.sh`)} ] && [ ! -e ${quote(sentinel)} ]; do
  sleep 0.25
  left=$((left - 1))
done
`;
  let shown = '';
  for (;;) {
    const { run } = await queryRun(session, record);
    if (run.state === 'RUNNING' || isEnded(run.state)) return run;
    const news = `${run.state} ${run.reason ?? ''}`;
    if (news !== shown) onChange(run);
    shown = news;
    await runRemote(await session.connect(), 'waiting for the job', script, {
      signal: session.signal,
      timeoutMs: (seconds + 60) * 1000,
    });
    throwIfInterrupted(session.signal);
  }
}
