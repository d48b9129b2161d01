import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfInterrupted } from '../errors.js';
import { RemoteLayout } from '../cluster/layout.js';
import { isEnded } from '../slurm/states.js';
import { quote } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import type { RunRecord } from './record.js';
import type { Session } from './session.js';
import { queryRun, type RunStatus } from './status.js';

// SLURM may need a moment to know a job it has just taken; after so many answers nobody knows it any more.
const unknownAnswers = 3;

/**
 * Waits until a run has ended. Between two questions to SLURM, which come no faster than the site wants, the far side
 * watches for the file the job itself writes at its end: that costs nobody anything and ends the wait within a second.
 */
export async function waitForRun(
  session: Session,
  record: RunRecord,
  onChange: (run: RunStatus) => void,
): Promise<RunStatus> {
  let shown = '';
  let unknown = 0;
  for (;;) {
    const { run, isComplete } = await queryRun(session, record);
    if (`${run.state} ${run.reason ?? ''}` !== shown) {
      shown = `${run.state} ${run.reason ?? ''}`;
      onChange(run);
    }
    if (isEnded(run.state)) return run;
    unknown = isComplete && (run.state === 'UNKNOWN' || run.state === 'NOT_SUBMITTED') ? unknown + 1 : 0;
    if (unknown >= unknownAnswers) return run;
    await watchSentinel(session, record);
  }
}

/** Returns when the job has written its exit status, at the latest when SLURM may be asked again. */
async function watchSentinel(session: Session, record: RunRecord): Promise<void> {
  const { sentinel } = new RemoteLayout(record.root).run(record.runId);
  const seconds = Math.ceil(session.cluster.pollSeconds);
  const script = `left=${seconds * 2}
while [ "$left" -gt 0 ] && [ ! -e ${quote(sentinel)} ]; do
  sleep 0.5
  left=$((left - 1))
done
`;
  const startedAt = Date.now();
  await runRemote(await session.connect(), 'waiting for the job', script, {
    signal: session.signal,
    timeoutMs: (seconds + 60) * 1000,
  });
  // The job has ended a moment before SLURM says so.
  if (Date.now() - startedAt < 1000) await sleep(500);
  throwIfInterrupted(session.signal);
}

/** The status `wait` passes on: the job's own where it has one, as a shell or timeout(1) would give it otherwise. */
export function exitStatusOf(run: RunStatus): number {
  if (run.state === 'COMPLETED') return run.exitCode ?? 0;
  if (run.exitCode) return run.exitCode;
  if (run.state === 'TIMEOUT' || run.state === 'DEADLINE') return 124;
  if (run.state === 'CANCELLED' || run.state === 'PREEMPTED') return 143;
  if (run.state === 'OUT_OF_MEMORY') return 137;
  return 1;
}
