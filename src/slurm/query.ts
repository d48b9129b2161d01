import { quote, quoteAll } from '../ssh/quote.js';
import { isEnded, parseElapsed, parseExitCode, parseState, parseWord, type JobState } from './states.js';

/** What a run left behind on the cluster, and what SLURM says of its job. */
export interface QueriedRun extends JobState {
  runId: string;
  /** Undefined while sbatch has not answered. */
  jobId: string | undefined;
}

/** The comment by which a run's job is found. */
export function jobComment(runId: string): string {
  return `hpcrun:${runId}`;
}

// A job's submit time and the receipt's come from two clocks.
const clockSkewSeconds = 300;

/**
 * The script, for `runRemote`, that asks for the state of runs: their receipts and sentinels, then squeue and sacct for all of them.
 * Without `runIds` it lists every run there is. Free-text fields are left out or come last, because they may hold `|`.
 */
export function renderQuery(runsDirectory: string, runIds: string[] | undefined): string {
  const which = runIds === undefined ? '*' : quoteAll(runIds);
  return `cd ${quote(runsDirectory)} 2>/dev/null || exit 0
jobs=
for id in ${which}; do
  [ -d "$id" ] || continue
  receipt= submitted= status=
  if [ -r "$id/state/receipt" ]; then read -r receipt submitted <"$id/state/receipt"; fi
  if [ -r "$id/state/exit" ]; then read -r status <"$id/state/exit"; fi
  receipt=\${receipt%%;*}
  printf 'run|%s|%s|%s|%s\\n' "$id" "$receipt" "$submitted" "$status"
  if [ -n "$receipt" ]; then jobs=$jobs,$receipt; fi
done
find_slurm
for name in $(env | sed -n 's/^\\(S\\(QUEUE\\|ACCT\\)_[A-Za-z0-9_]*\\)=.*/\\1/p'); do unset "$name"; done
SLURM_TIME_FORMAT=%s; export SLURM_TIME_FORMAT
squeue --me --states=all -h -r -o 'squeue|%i|%T|%r|%S|%M|%N|%k' </dev/null || echo 'failed|squeue'
if [ -n "$jobs" ]; then
  sacct -n -P -X -D -j "\${jobs#,}" -o JobIDRaw,State,ExitCode,Submit,Start,ElapsedRaw,NodeList,Reason,Comment </dev/null | sed 's/^/sacct|/'
fi
exit 0
`;
}

interface Receipt {
  runId: string;
  jobId: string | undefined;
  submitTime: number | undefined;
  exitCode: number | undefined;
}

export interface QueryResult {
  runs: QueriedRun[];
  /** False if squeue itself failed: a job nobody knows of may then still be running. */
  isComplete: boolean;
}

/**
 * Combines what the script printed: squeue for live jobs, sacct for ended ones, and where accounting is off, what squeue
 * still remembers and the job's own sentinel.
 */
export function parseQuery(output: string): QueryResult {
  const receipts: Receipt[] = [];
  const queued = new Map<string, { comment: string; state: JobState }>();
  const queuedByComment = new Map<string, string>();
  const accounted = new Map<string, { submitTime: number; comment: string; state: JobState }[]>();
  let isComplete = true;
  for (const line of output.split('\n')) {
    const [source, ...fields] = line.split('|');
    switch (source) {
      case 'run':
        receipts.push(parseReceipt(fields));
        break;
      case 'squeue': {
        const [jobId = ''] = fields;
        const comment = fields.slice(6).join('|');
        queued.set(jobId, { comment, state: parseQueued(fields) });
        queuedByComment.set(comment, jobId);
        break;
      }
      case 'sacct': {
        const [jobId = '', , , submit] = fields;
        accounted.set(jobId, [
          ...(accounted.get(jobId) ?? []),
          { submitTime: Number(submit), comment: fields.slice(8).join('|'), state: parseAccounted(fields) },
        ]);
        break;
      }
      case 'failed':
        isComplete = false;
        break;
      case undefined:
      default:
        break;
    }
  }
  const runs = receipts.map((receipt) => {
    const jobId = receipt.jobId ?? queuedByComment.get(jobComment(receipt.runId));
    // An id may have been given out again after the controller was set up anew: older jobs are somebody else's.
    const records = (jobId === undefined ? [] : (accounted.get(jobId) ?? [])).filter(
      ({ submitTime, comment }) =>
        isOwn(comment, receipt.runId) &&
        (receipt.submitTime === undefined || submitTime >= receipt.submitTime - clockSkewSeconds),
    );
    const live = jobId === undefined ? undefined : queued.get(jobId);
    const own = live && isOwn(live.comment, receipt.runId) ? live.state : undefined;
    const state = combine(own, records.at(-1)?.state, receipt, jobId);
    return { runId: receipt.runId, jobId, ...state };
  });
  return { runs, isComplete };
}

/** Whether a job is this run's, by its comment; where a site keeps no comments, it is taken to be. */
function isOwn(comment: string, runId: string): boolean {
  return parseWord(comment) === undefined || comment.includes(jobComment(runId));
}

function combine(
  live: JobState | undefined,
  record: JobState | undefined,
  receipt: Receipt,
  jobId: string | undefined,
): JobState {
  if (live && !isEnded(live.state)) return live;
  // The job's own word goes first: sacct of SLURM 24.11 says 127 for 255 and 9 for 137.
  const { exitCode } = receipt;
  if (record && isEnded(record.state)) return { ...record, exitCode: exitCode ?? record.exitCode };
  if (live) return { ...live, exitCode: exitCode ?? (live.state === 'COMPLETED' ? 0 : undefined) };
  if (exitCode !== undefined) {
    return { ...unknownState, ...record, state: exitCode === 0 ? 'COMPLETED' : 'FAILED', exitCode };
  }
  return record ?? { ...unknownState, state: jobId === undefined ? 'NOT_SUBMITTED' : 'UNKNOWN' };
}

const unknownState: JobState = {
  state: 'UNKNOWN',
  exitCode: undefined,
  reason: undefined,
  elapsedSeconds: undefined,
  nodes: undefined,
  startTime: undefined,
};

function parseReceipt([runId = '', jobId, submitTime, exitCode]: string[]): Receipt {
  return {
    runId,
    jobId: jobId === '' ? undefined : jobId,
    submitTime: parseNumber(submitTime),
    exitCode: parseNumber(exitCode),
  };
}

function parseQueued([, state = '', reason, start, elapsed = '', nodes]: string[]): JobState {
  return {
    state: parseState(state),
    exitCode: undefined,
    reason: parseWord(reason),
    startTime: parseNumber(start),
    elapsedSeconds: parseElapsed(elapsed),
    nodes: parseWord(nodes),
  };
}

function parseAccounted([, state = '', exitCode = '', , start, elapsed, nodes, reason]: string[]): JobState {
  const parsed = parseState(state);
  const parsedCode = parseExitCode(exitCode);
  // A job that was stopped from outside has 0:0 there, which is not its exit status.
  const isTelling = parsedCode !== 0 || parsed === 'COMPLETED';
  return {
    state: parsed,
    exitCode: isEnded(parsed) && isTelling ? parsedCode : undefined,
    reason: parseWord(reason),
    startTime: parseNumber(start),
    elapsedSeconds: parseNumber(elapsed),
    nodes: parseWord(nodes),
  };
}

function parseNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
