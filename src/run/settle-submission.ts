import type { RemoteLayout } from '../cluster/layout.js';
import { discardTrees } from '../cluster/objects.js';
import { renderFindJob } from '../slurm/find-job.js';
import type { Connection } from '../ssh/connection.js';
import { quote } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import type { RunRecord } from './record.js';
import { attemptPaths } from './submission.js';

/** What became of an attempt to submit a run. */
export type Settlement =
  | { kind: 'submitted'; jobId: string }
  /** There is no job of it, and there will be none. */
  | { kind: 'none' }
  /** Its shell is still waiting for sbatch, or SLURM cannot be asked. */
  | { kind: 'open'; why: string };

const waitSeconds = 30;
// sbatch gives up after two minutes, its shell has looked for the job for two more.
const orphanMinutes = 6;

/**
 * Finds out what became of an attempt whose answer was lost, by its receipt, squeue and sacct. An attempt that has not called
 * sbatch is given up, so that it never will. Waits for half a minute if sbatch is still being called.
 */
export async function settleSubmission(
  connection: Connection,
  layout: RemoteLayout,
  record: RunRecord,
  attempt: string,
  signal: AbortSignal,
): Promise<Settlement> {
  const { stdout } = await runRemote(
    connection,
    'finding out about a lost answer',
    renderSettlement(layout, record, attempt),
    { signal },
  );
  const [word = '', ...rest] = stdout.toString('utf8').trim().split(' ');
  const said = rest.join(' ');
  if (word === 'job' && /^\d+/.test(said)) return { kind: 'submitted', jobId: /^\d+/.exec(said)?.[0] ?? '' };
  return word === 'none' ? { kind: 'none' } : { kind: 'open', why: said };
}

/** Exported for tests. */
export function renderSettlement(layout: RemoteLayout, record: RunRecord, attempt: string): string {
  const { temporary, claim } = attemptPaths(layout, record, attempt);
  return `new=${quote(temporary)}
claim=${quote(claim)}
run=${quote(layout.run(record.runId).directory)}
${discardTrees}
${renderFindJob(record.runId)}
answer() {
  if [ -s "$run/state/receipt" ] && read -r job rest <"$run/state/receipt"; then printf 'job %s\\n' "\${job%%;*}"; exit 0; fi
}
# Whether the shell that has the claim, or its sbatch, is still there; of another login node's nobody knows, but not for ever.
is_alive() {
  owner= node=
  [ ! -r "$claim/owner" ] || read -r owner node <"$claim/owner"
  if [ "$node" = "$(uname -n)" ]; then
    kill -0 "$owner" 2>/dev/null || ps -u "$(id -u)" -o args= 2>/dev/null | grep -F "$run/job.sbatch" | grep -qv 'grep -F'
  else
    [ -z "$(find "$claim" -maxdepth 0 -mmin +${orphanMinutes} 2>/dev/null)" ]
  fi
}
answer
# Who makes it has its way. What is left of it when an attempt has been given up goes with a later clean-up.
mkdir -p ${quote(layout.runs)}
left=${waitSeconds * 2}
until mkdir "$claim" 2>/dev/null; do
  answer
  is_alive || break
  [ "$left" -gt 0 ] || { echo 'open sbatch is still waiting for an answer of SLURM'; exit 0; }
  left=$((left - 1))
  sleep 0.5
done
# A receipt is written before the claim goes.
answer
if [ ! -d "$run" ]; then discard_trees "$new"; echo none; exit 0; fi
find_slurm
unset SQUEUE_FORMAT SQUEUE_FORMAT2 SACCT_FORMAT
job=$(find_job) || { echo 'open SLURM does not answer'; exit 0; }
if [ -n "$job" ]; then
  printf '%s %s %s\\n' "$job" "$(date +%s)" "$(find_span "$job")" >"$run/state/receipt"
  answer
fi
[ ! -e "$run/state/uncertain" ] || { echo "open SLURM's answer to sbatch was lost"; exit 0; }
rm -rf "$run"
discard_trees "$new"
echo none
`;
}
