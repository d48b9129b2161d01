import { RemoteLayout } from '../cluster/layout.js';
import { HpcrunError } from '../errors.js';
import { isEnded } from '../slurm/states.js';
import { quote, quoteAll } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import { printable } from '../ssh/terminal-text.js';
import type { RunRecord } from './record.js';
import type { Session } from './session.js';
import { queryRuns, type RunStatus } from './status.js';
import { parseTaskId } from './sweep/task-record.js';

export interface CancelResult {
  run: RunStatus;
  /** False if it had ended already. */
  cancelled: boolean;
}

const submittingSeconds = 30;

/** Cancels runs with one scancel. Runs that have ended are left alone and reported as such. Throws SLURM_REFUSED. */
export async function cancelRuns(session: Session, records: RunRecord[]): Promise<CancelResult[]> {
  const { runs } = await queryRuns(session, records, { topsUp: false });
  const toCome = runs.find(({ state, jobId }) => state === 'PENDING' && jobId === undefined);
  if (toCome) {
    const { runId } = parseTaskId(toCome.runId);
    throw new HpcrunError('USAGE', `SLURM has not taken task ${toCome.runId} yet, so it cannot be cancelled alone`, {
      hint: `The whole sweep can: hpcrun cancel ${runId}`,
    });
  }
  const live = runs.filter(({ state, jobId }) => !isEnded(state) && jobId !== undefined);
  if (live.length > 0) {
    const connection = await session.connect();
    const result = await runRemote(connection, 'cancelling', renderCancel(live), {
      signal: session.signal,
      timeoutMs: (submittingSeconds + 90) * 1000,
      expected: [4],
    });
    if (result.exitCode === 4) {
      throw new HpcrunError('SLURM_REFUSED', `scancel failed: ${printable(result.stderr.trim())}`, {
        hint: 'Some may have been cancelled: hpcrun status',
      });
    }
  }
  return runs.map((run) => ({ run, cancelled: live.includes(run) }));
}

/** Ends with 4 if scancel fails. Exported for tests. */
export function renderCancel(live: RunStatus[]): string {
  const tasks = live.flatMap(({ record, tasks }) =>
    tasks ? [new RemoteLayout(record.root).run(record.runId).directory] : [],
  );
  const states = live.map(({ record }) => new RemoteLayout(record.root).run(record.runId).state);
  const known = live.flatMap(({ jobId, otherJobIds = [] }) => [jobId ?? [], ...otherJobIds].flat());
  return `find_slurm
# A job that is about to start itself anew looks for this; what SLURM has not taken of a sweep yet is not submitted any more.
for state in ${quoteAll(states)} ${tasks.map((directory) => `${quote(directory)}/tasks/*/state`).join(' ')}; do
  [ ! -d "$state" ] || : >"$state/cancelled"
done
# Somebody else may just be submitting more of a sweep: what has come of that is cancelled as well.
more= left=${submittingSeconds * 2}
for state in ${quoteAll(states)}; do
  while [ -d "$state/submitting" ] && [ "$left" -gt 0 ]; do
    left=$((left - 1))
    sleep 0.5
  done
  [ -r "$state/receipt" ] || continue
  while read -r job _; do
    job=\${job%%;*}
    case $job in '' | *[!0-9]*) continue ;; esac
    case ${quote(` ${known.join(' ')} `)} in *" $job "*) ;; *) more="$more $job" ;; esac
  done <"$state/receipt"
done
set -- ${quoteAll(live.flatMap(liveJobs))} $more
[ "$#" -eq 0 ] || scancel "$@" </dev/null || exit 4
`;
}

/** Of a sweep or chain, whose jobs may have ended in part, those that have not. */
function liveJobs({ jobId, otherJobIds = [], tasks }: RunStatus): string[] {
  if (jobId === undefined) return [];
  if (!tasks) return [jobId, ...otherJobIds];
  return [jobId, ...otherJobIds].filter((id) =>
    tasks.some((task) => task.jobId?.startsWith(`${id}_`) === true && !isEnded(task.state)),
  );
}
