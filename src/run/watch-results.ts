import { RemoteLayout } from '../cluster/layout.js';
import { isEnded } from '../slurm/states.js';
import { quote } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import { pullResults, type PulledRun, type PullOptions } from './pull-results.js';
import type { RunRecord } from './record.js';
import type { Session } from './session.js';
import { queryRun } from './status.js';

/** Seconds between two looks at the file system there. */
const lookEverySeconds = 3;
/** After so many seconds, the far side's script ends and is started anew. */
const longestWatchSeconds = 120;

// SLURM may need a moment to know a job it has just taken; after so many answers nobody knows it any more.
const unknownAnswers = 3;

/**
 * Pulls what a run writes while it runs, and ends with the run, after a last pull of all there is. Between two pulls the far
 * side looks for changes; SLURM is asked no more often than the site wants, for runs that end without a word. `onPulled` is
 * told of each pull.
 */
export async function watchResults(
  session: Session,
  record: RunRecord,
  directory: string,
  options: PullOptions,
  onPulled: (pulled: PulledRun, isLast: boolean) => void,
): Promise<void> {
  const slurm = new SlurmWatch(session, record);
  for (;;) {
    const isOver = await slurm.isOver();
    // When the run is over nobody writes any more, also if it could not say so itself.
    const pulled = await pullResults(session, record, directory, isOver ? { ...options, live: true } : options);
    const isLast = isOver || pulled.hasEnded;
    onPulled(pulled, isLast);
    if (isLast) return;
    await waitForChange(session, record, pulled);
  }
}

/** Asks SLURM, now and then, whether a run has come to an end that it could not write down. */
class SlurmWatch {
  private askedAtMs = Number.NEGATIVE_INFINITY;
  private unknown = 0;

  constructor(
    private readonly session: Session,
    private readonly record: RunRecord,
  ) {}

  async isOver(): Promise<boolean> {
    if (performance.now() - this.askedAtMs < this.session.cluster.pollSeconds * 1000) return false;
    this.askedAtMs = performance.now();
    const { run, isComplete } = await queryRun(this.session, this.record);
    const isUnknown = run.state === 'UNKNOWN' || run.state === 'NOT_SUBMITTED';
    this.unknown = isComplete && isUnknown ? this.unknown + 1 : 0;
    return isEnded(run.state) || this.unknown >= unknownAnswers;
  }
}

/** Returns when something new is there, when the run has ended, or when it is time to ask SLURM again. */
async function waitForChange(
  session: Session,
  record: RunRecord,
  { listedAt, beingWritten }: Pick<PulledRun, 'listedAt' | 'beingWritten'>,
): Promise<void> {
  const { directory } = new RemoteLayout(record.root).run(record.runId);
  const seconds = Math.min(longestWatchSeconds, Math.max(session.cluster.pollSeconds, lookEverySeconds));
  await runRemote(
    await session.connect(),
    'waiting for results',
    renderWatch(directory, { listedAt, hasLeft: beingWritten.length > 0, seconds }),
    { signal: session.signal, timeoutMs: (seconds + 120) * 1000 },
  );
}

// A file that was left comes when it has been quiet for a while, so that after a look or two the next pull has its turn.
// Whether the connection is still there shows only when something is written to it.
function renderWatch(run: string, state: { listedAt: number; hasLeft: boolean; seconds: number }): string {
  const looks = Math.ceil(state.seconds / lookEverySeconds);
  return `cd ${quote(run)} || exit 0
left=${state.hasLeft ? Math.min(looks, 4) : looks}
while [ "$left" -gt 0 ]; do
  [ ! -e state/exit ] || exit 0
  sleep ${lookEverySeconds}
  echo || exit 0
  [ -z "$(find work tasks ! -type d -newerct @${state.listedAt} -print 2>/dev/null | head -n 1)" ] || exit 0
  left=$((left - 1))
done
`;
}
