import { jobComment } from '../../slurm/query.js';
import { quote } from '../../ssh/quote.js';
import type { RunRecord } from '../record.js';
import type { Sweep } from './sweep.js';

// What slurm.conf says where it says nothing.
const defaultArraySize = 1001;

/**
 * The shell function `submit_tasks`: hands the tasks of a sweep that are in no array yet to sbatch, one array for as many as
 * MaxArraySize allows, and writes a line into the receipt for each. Expects `$run`. Where SLURM takes no more jobs of this user, it
 * tries half as many, and leaves the others to a later call as soon as some were taken. What sbatch says is in `state/sbatch.err`.
 * It ends where the sweep is cancelled meanwhile; `cancel` reads the receipt after it has said so, and an array that comes later is
 * cancelled here.
 *
 * With `max_parallel`, each array waits for the one before, because a limit (`%N`) holds for one array only.
 */
export function renderSubmitTasks({ runId, resources }: Pick<RunRecord, 'runId' | 'resources'>, sweep: Sweep): string {
  const count = sweep.tasks.length;
  const limit = sweep.maxParallel === undefined ? '' : `%${sweep.maxParallel}`;
  const { dependency } = resources;
  const before = dependency === undefined ? '' : quote(`${dependency},`);
  return `find_array() { # first task: the job in whose comment it stands, if its receipt could not be written
  found_pattern="s/^\\([0-9]*\\)[^ |]*[ |].*${jobComment(runId)} tasks $1-\\([0-9]*\\).*/\\1 \\2/p"
  found=$(squeue --me --states=all -h -o '%F %k' </dev/null 2>/dev/null | sed -n "$found_pattern" | head -n 1)
  # It may have ended more than a few minutes ago.
  [ -n "$found" ] || found=$(sacct -n -P -X -S "$(date -r "$run/run.json" +%Y-%m-%dT%H:%M)" -o JobID,Comment </dev/null 2>/dev/null |
    sed -n "$found_pattern" | head -n 1)
  printf '%s' "$found"
}
submit_tasks() {
  size=$(scontrol show config </dev/null 2>/dev/null | sed -n 's/^MaxArraySize *= *//p')
  case $size in '' | 0 | *[!0-9]*) size=${defaultArraySize} ;; esac
  if [ -r "$run/state/chunk" ]; then read -r size <"$run/state/chunk"; fi
  next=0 previous=
  if [ -s "$run/state/receipt" ]; then
    read -r previous submitted span <<end
$(tail -n 1 "$run/state/receipt")
end
    case $span in *-*) ;; *) return ;; esac
    next=$((\${span##*-} + 1)) previous=\${previous%%;*}
  fi
  limited=
  while [ "$next" -lt ${count} ] && [ ! -e "$run/state/cancelled" ]; do
    last=$((next + size - 1))
    [ "$last" -lt ${count} ] || last=${count - 1}
    set -- --parsable --array="0-$((last - next))${limit}" --comment="${jobComment(runId)} tasks $next-$last"
${sweep.maxParallel === undefined ? '' : `    [ -z "$previous" ] || set -- "$@" --dependency=${before}"afterany:$previous"\n`}    answer=$(sbatch "$@" "$run/job.sbatch" "$next" 2>"$run/state/sbatch.err" </dev/null)
    if [ "$?" -ne 0 ]; then
      # sbatch may fail and yet have submitted, and a busy controller may take a job after sbatch has given up: the job's comment tells.
      answer='' looks=1
      ! grep -qiE 'timed out|message (send|receive)|zero bytes|communication' "$run/state/sbatch.err" || looks=6
      while [ "$looks" -gt 0 ] && [ -z "$answer" ]; do
        answer=$(find_array "$next") answer=\${answer%% *}
        looks=$((looks - 1))
        [ "$looks" -eq 0 ] || [ -n "$answer" ] || sleep 5
      done
    fi
    if [ -n "$answer" ]; then
      printf '%s %s %s-%s\\n' "$answer" "$(date +%s)" "$next" "$last" >>"$run/state/receipt"
      next=$((last + 1)) previous=\${answer%%;*}
      if [ -e "$run/state/cancelled" ]; then scancel "$previous" </dev/null 2>>"$run/state/sbatch.err"; fi
      if [ -n "$limited" ]; then break; fi
    elif [ "$last" -gt "$next" ] && is_too_many; then
      limited=1 size=$(((last - next + 1) / 2))
      [ -e "$run/state/chunk" ] || echo "$size" >"$run/state/chunk"
    else
      break
    fi
  done
}
is_too_many() { # whether what sbatch said means that fewer tasks may do
  grep -qE 'MaxSubmitJob|GrpSubmitJob|Invalid job array' "$run/state/sbatch.err" ||
    { grep -q 'job submit limit' "$run/state/sbatch.err" && ! grep -qE 'error: (QOS|Assoc)[A-Z]' "$run/state/sbatch.err"; }
}`;
}

/**
 * A script, for `runRemote`, that submits what SLURM has not taken of a sweep so far. One at a time does so: it holds a
 * directory as a lock, and looks for an array whose receipt was not written before it makes one.
 */
export function renderTopUp(runDirectory: string, record: RunRecord, sweep: Sweep): string {
  return `run=${quote(runDirectory)}
tail -n 1 "$run/state/receipt" 2>/dev/null | grep -q -e '-' || exit 0
lock=$run/state/submitting
if ! mkdir "$lock" 2>/dev/null; then
  [ -n "$(find "$lock" -maxdepth 0 -mmin +10 2>/dev/null)" ] && rmdir "$lock" && mkdir "$lock" 2>/dev/null || exit 0
fi
trap 'rmdir "$lock"' EXIT
# Between sbatch and its receipt, nothing is to come.
trap '' HUP INT TERM
[ ! -e "$run/state/cancelled" ] || exit 0
find_slurm || exit 0
${forgetSlurmVariables}
${renderSubmitTasks(record, sweep)}
first=$(tail -n 1 "$run/state/receipt" | sed 's/^.*-//')
first=$((first + 1))
lost=$(find_array "$first")
if [ -n "$lost" ]; then
  printf '%s %s %s-%s\\n' "\${lost%% *}" "$(date +%s)" "$first" "\${lost##* }" >>"$run/state/receipt"
  exit 0
fi
submit_tasks
[ -z "$(tail -n 1 "$run/state/receipt" | grep -v -e "-$((first - 1))\\$")" ] || echo submitted
`;
}

/** sbatch takes options from them; where SLURM's configuration is stays. */
export const forgetSlurmVariables = `for name in $(env | sed -n 's/^\\(S\\(LURM\\|BATCH\\|QUEUE\\|ACCT\\)_[A-Za-z0-9_]*\\)=.*/\\1/p'); do
  [ "$name" = SLURM_CONF ] || unset "$name"
done`;
