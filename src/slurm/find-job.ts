import { quote } from '../ssh/quote.js';
import { jobComment } from './query.js';

/**
 * A shell function `find_job` that prints the id of a run's job, found by its comment, and nothing where there is none. It fails if SLURM
 * does not answer. A job that squeue has forgotten is known to sacct, where there is accounting. For an array it is the
 * array's own id; of several jobs, the first. `find_span JOB` prints which tasks of a sweep an array holds.
 */
export function renderFindJob(runId: string): string {
  const comment = jobComment(runId);
  return `find_job() {
  found=$(squeue --me --states=all -h -o '%F %k' </dev/null 2>/dev/null) || return 1
  found=$(printf '%s\\n' "$found" | sed -n ${quote(`s/^\\([0-9]*\\) .*${comment}.*/\\1/p`)} | sort -n | head -n 1)
  [ -n "$found" ] || found=$(sacct -n -P -X -S now-7days -o JobID,Comment </dev/null 2>/dev/null |
    sed -n ${quote(`s/^\\([0-9]*\\)[^|]*|.*${comment}.*/\\1/p`)} | sort -n | head -n 1)
  [ -z "$found" ] || printf '%s\\n' "$found"
}
find_span() {
  { squeue --me --states=all -h -o '%F %k' </dev/null; sacct -n -P -X -S now-7days -o JobID,Comment </dev/null; } 2>/dev/null |
    sed -n "s/^$1[^0-9].*${comment} tasks \\([0-9]*-[0-9]*\\).*/\\1/p" | head -n 1
}
`;
}
