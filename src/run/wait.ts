import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfInterrupted } from '../errors.js';
import { RemoteLayout } from '../cluster/layout.js';
import { isEnded } from '../slurm/states.js';
import { quote } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import type { RunRecord } from './record.js';
import { persistently } from './reconnect.js';
import type { Session } from './session.js';
import { queryRun, type RunStatus } from './status.js';

// SLURM may need a moment to know a job it has just taken; after so many answers nobody knows it any more.
const unknownAnswers = 3;

/**
 * Lets the time pass until SLURM is to be asked again. Settles with true as soon as the job has written its exit status, if
 * that is `expected`.
 */
export type Interlude = (options: { expectsEnd: boolean }) => Promise<boolean>;

/**
 * Waits until a run has ended. Between two questions to SLURM, which come no faster than the site wants, the far side
 * watches for the file the job itself writes at its end: that costs nobody anything and ends the wait within a second.
 * @param interlude what is done between the questions instead; one thing at a time, because a server may allow one session only
 */
export async function waitForRun(
  session: Session,
  record: RunRecord,
  onChange: (run: RunStatus) => void,
  interlude: Interlude = ({ expectsEnd }) => (expectsEnd ? watchSentinel(session, record) : rest(session)),
): Promise<RunStatus> {
  let shown = '';
  let unknown = 0;
  let hasEndedEarly = false;
  const pause = (expectsEnd: boolean) => persistently(session, () => interlude({ expectsEnd }));
  for (;;) {
    const { run, isComplete } = await persistently(session, () => queryRun(session, record));
    if (`${run.state} ${run.reason ?? ''}` !== shown) {
      shown = `${run.state} ${run.reason ?? ''}`;
      onChange(run);
    }
    if (isEnded(run.state)) return run;
    unknown = isComplete && (run.state === 'UNKNOWN' || run.state === 'NOT_SUBMITTED') ? unknown + 1 : 0;
    if (unknown >= unknownAnswers) return run;
    // The job has ended a moment before SLURM says so. That is a reason to ask early once, not again and again: a job
    // may be completing for minutes, or wait to be started anew.
    hasEndedEarly = (await pause(!hasEndedEarly)) || hasEndedEarly;
    throwIfInterrupted(session.signal);
  }
}

async function rest({ cluster, signal }: Session): Promise<boolean> {
  await sleep(cluster.pollSeconds * 1000, undefined, { signal });
  return false;
}

/** True when the job has written its exit status, false when it is time to ask SLURM again. */
async function watchSentinel(session: Session, record: RunRecord): Promise<boolean> {
  const { sentinel } = new RemoteLayout(record.root).run(record.runId);
  const seconds = Math.ceil(session.cluster.pollSeconds);
  const script = `left=${seconds * 2}
while [ "$left" -gt 0 ]; do
  if [ -e ${quote(sentinel)} ]; then sleep 1; echo ended; exit 0; fi
  sleep 0.5
  left=$((left - 1))
done
`;
  const { stdout } = await runRemote(await session.connect(), 'waiting for the job', script, {
    signal: session.signal,
    timeoutMs: (seconds + 60) * 1000,
  });
  return stdout.length > 0;
}

/** The status `wait` passes on: the job's own where it has one, as a shell or timeout(1) would give it otherwise. */
export function exitStatusOf(run: RunStatus): number {
  switch (run.state) {
    case 'COMPLETED':
      return run.exitCode ?? 0;
    case 'TIMEOUT':
    case 'DEADLINE':
      return 124;
    case 'OUT_OF_MEMORY':
      return 137;
    case 'CANCELLED':
    case 'PREEMPTED':
      return 143;
    case 'UNKNOWN':
    case 'NOT_SUBMITTED':
      return 8;
    default:
      return run.exitCode === undefined || run.exitCode === 0 ? 1 : run.exitCode;
  }
}
