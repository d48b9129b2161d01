import { quote, quoteAll } from '../ssh/quote.js';
import { parseJobIds, summarizeTasks, type JobIds, type TaskState } from './array-tasks.js';
import { isEnded, parseElapsed, parseExitCode, parseState, parseWord, type JobState } from './states.js';

/** What a run left behind on the cluster, and what SLURM says of its job or jobs. */
export interface QueriedRun extends JobState {
  runId: string;
  /** The first; undefined while sbatch has not answered. */
  jobId: string | undefined;
  /** Those after the first, in the order they were submitted: further arrays of a sweep, links of a chain. */
  otherJobIds?: string[] | undefined;
  /** Of a sweep, by number. */
  tasks?: TaskState[] | undefined;
  /** How often its work has been started anew: after a time limit, a preemption, the failure of a node. */
  restarts?: number | undefined;
}

/** The tasks of a sweep that one job array holds, both included. */
export interface TaskSpan {
  first: number;
  last: number;
}

/** The comment by which a run's job is found; that of a sweep's array says, too, which of its tasks are in it. */
export function jobComment(runId: string, span?: TaskSpan): string {
  return `hpcrun:${runId}${span ? ` tasks ${span.first}-${span.last}` : ''}`;
}

// A site may have put something in front or behind.
const commentPattern = /hpcrun:([0-9A-Za-z-]+)(?: tasks (\d+)-(\d+))?/;

// A job's submit time and the receipt's come from two clocks.
const clockSkewSeconds = 300;

const sacctFields = 'JobID,State,ExitCode,Submit,Start,ElapsedRaw,NodeList,Reason,Comment';

/**
 * The script, for `runRemote`, that asks for the state of runs: their receipts and sentinels, then squeue and sacct for all of them.
 * Without `runIds` it lists every run there is. Free-text fields are left out or come last, because they may hold `|`. Tasks that
 * wait are one line of squeue's, whose list is not to be cut off (squeue man page, SLURM_BITSTR_LEN); with -r, they would be one each.
 */
export function renderQuery(runsDirectory: string, runIds: string[] | undefined): string {
  const which = runIds === undefined ? '*' : quoteAll(runIds);
  return `cd ${quote(runsDirectory)} 2>/dev/null || exit 0
jobs= lost=
for id in ${which}; do
  [ -d "$id" ] || continue
  status= tasks= restarts= last= cancelled=
  if [ -r "$id/state/exit" ]; then read -r status <"$id/state/exit"; fi
  if [ -r "$id/state/tasks" ]; then read -r tasks <"$id/state/tasks"; fi
  if [ -r "$id/state/restarts" ]; then read -r restarts last _ <"$id/state/restarts"; fi
  if [ -e "$id/state/cancelled" ]; then cancelled=cancelled; fi
  printf 'run|%s|%s|%s|%s|%s|%s\\n' "$id" "$status" "$tasks" "$restarts" "$last" "$cancelled"
  if [ -r "$id/state/receipt" ]; then
    while read -r job submitted span; do
      job=\${job%%;*}
      printf 'job|%s|%s|%s\\n' "$job" "$submitted" "$span"
      jobs=$jobs,$job
    done <"$id/state/receipt"
  else
    lost="$lost $id"
  fi
  if [ -n "$tasks" ]; then (cd "$id/tasks" 2>/dev/null && grep -s '' */state/exit /dev/null); fi
done
find_slurm
for name in $(env | sed -n 's/^\\(S\\(QUEUE\\|ACCT\\)_[A-Za-z0-9_]*\\)=.*/\\1/p'); do unset "$name"; done
SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0; export SLURM_TIME_FORMAT SLURM_BITSTR_LEN
squeue --me --states=all -h -o 'squeue|%i|%T|%r|%S|%M|%N|%k' </dev/null || echo 'failed|squeue'
if [ -n "$jobs" ]; then
  sacct -n -P -X -D -j "\${jobs#,}" -o ${sacctFields} </dev/null | sed 's/^/sacct|/'
fi
# Of runs whose submission was cut off, accounting may know a job by its comment; of those that are older, nothing will come any more.
[ -z "$lost" ] || lost=$(find $lost -maxdepth 0 -mtime -2 -printf '%T@\\n' 2>/dev/null | sort -n | head -n 1)
if [ -n "$lost" ]; then
  since=$(date -d "@$((\${lost%.*} - ${clockSkewSeconds}))" +%Y-%m-%dT%H:%M:%S)
  sacct -n -P -X -D -S "$since" -o ${sacctFields} </dev/null 2>/dev/null | sed -n 's/^.*hpcrun:.*/sacct|&/p'
fi
exit 0
`;
}

/** One line of a receipt: a job that sbatch has taken. */
interface ReceiptJob {
  jobId: string;
  submitTime: number | undefined;
  span: TaskSpan | undefined;
}

interface Receipt {
  runId: string;
  jobs: ReceiptJob[];
  exitCode: number | undefined;
  /** How many tasks a sweep has; undefined for other runs. */
  taskCount: number | undefined;
  /** Whether the user has cancelled it: what SLURM has not taken of it will not be submitted any more. */
  isCancelled: boolean;
  /** By the number of the task. */
  taskExitCodes: Map<number, number>;
  restarts: number | undefined;
  /** The job of its last start. */
  lastJobId: string | undefined;
}

/** What one source says of one job or array task. */
interface Statement {
  /** Of accounting alone. */
  submitTime: number | undefined;
  comment: string;
  state: JobState;
}

/** What SLURM says, by `12` or, of an array task, `12_3`. */
interface Statements {
  queued: Map<string, Statement>;
  accounted: Map<string, Statement[]>;
  /** Jobs by the run that their comments name. */
  byRun: Map<string, Map<string, TaskSpan | undefined>>;
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
  const statements: Statements = { queued: new Map(), accounted: new Map(), byRun: new Map() };
  let isComplete = true;
  for (const line of output.split('\n')) {
    const [source, ...fields] = line.split('|');
    switch (source) {
      case 'run':
        receipts.push(parseReceipt(fields));
        break;
      case 'job':
        receipts.at(-1)?.jobs.push(parseReceiptJob(fields));
        break;
      case 'squeue':
        addQueued(statements, fields);
        break;
      case 'sacct':
        addAccounted(statements, fields);
        break;
      case 'failed':
        isComplete = false;
        break;
      case undefined:
      default: {
        const [, index, exitCode] = /^(\d+)\/state\/exit:(\d+)$/.exec(line) ?? [];
        if (index !== undefined) receipts.at(-1)?.taskExitCodes.set(Number(index), Number(exitCode));
      }
    }
  }
  return { runs: receipts.map((receipt) => describeRun(receipt, statements)), isComplete };
}

function addQueued({ queued, byRun }: Statements, fields: string[]): void {
  const ids = parseJobIds(fields[0] ?? '');
  if (!ids) return;
  const comment = fields.slice(6).join('|');
  const statement = { submitTime: undefined, comment, state: parseQueued(fields) };
  for (const key of keysOf(ids)) queued.set(key, statement);
  noteRun(byRun, ids.jobId, comment);
}

function addAccounted({ accounted, byRun }: Statements, fields: string[]): void {
  const ids = parseJobIds(fields[0] ?? '');
  if (!ids) return;
  const comment = fields.slice(8).join('|');
  const statement = { submitTime: Number(fields[3]), comment, state: parseAccounted(fields) };
  for (const key of keysOf(ids)) {
    const known = accounted.get(key);
    if (known) known.push(statement);
    else accounted.set(key, [statement]);
  }
  noteRun(byRun, ids.jobId, comment);
}

function keysOf({ jobId, tasks }: JobIds): string[] {
  return tasks?.map((task) => `${jobId}_${task}`) ?? [jobId];
}

function noteRun(byRun: Statements['byRun'], jobId: string, comment: string): void {
  const match = commentPattern.exec(comment);
  const runId = match?.[1];
  if (runId === undefined) return;
  const jobs = byRun.get(runId) ?? new Map<string, TaskSpan | undefined>();
  if (!jobs.has(jobId)) jobs.set(jobId, parseSpan(`${match?.[2] ?? ''}-${match?.[3] ?? ''}`));
  byRun.set(runId, jobs);
}

/** The jobs that the receipt names, and those whose answer has not come as far as that. */
function describeRun(receipt: Receipt, statements: Statements): QueriedRun {
  const { runId, exitCode, taskCount } = receipt;
  const known = new Set(receipt.jobs.map(({ jobId }) => jobId));
  const found = [...(statements.byRun.get(runId) ?? [])].filter(([jobId]) => !known.has(jobId));
  const jobs = [...receipt.jobs, ...found.map(([jobId, span]) => ({ jobId, span, submitTime: undefined }))];
  const [jobId, ...others] = jobs.map((job) => job.jobId);
  const ids = { runId, jobId, otherJobIds: others.length === 0 ? undefined : others, restarts: receipt.restarts };
  if (taskCount === undefined) {
    // The work has ended, whatever SLURM says of the links of a chain that were left.
    const last = jobs.filter(({ jobId }) => exitCode !== undefined && jobId === receipt.lastJobId);
    const states = (last.length > 0 ? last : jobs).map(({ jobId, submitTime }) =>
      look(statements, jobId, { runId, submitTime }),
    );
    const { live, record } = chooseJob(states);
    const state = combine(live, record, { exitCode, isSubmitted: jobs.length > 0 });
    // Where SLURM says nothing any more, and accounting is off, the mark of `hpcrun cancel` is all there is.
    const isUntold = state.state === 'UNKNOWN' || (state.state === 'FAILED' && !live && !record);
    return { ...ids, ...state, ...(receipt.isCancelled && isUntold ? { state: 'CANCELLED' } : {}) };
  }
  const tasks = describeTasks(receipt, jobs, taskCount, statements);
  return { ...ids, ...summarizeTasks(tasks), tasks };
}

function describeTasks(receipt: Receipt, jobs: ReceiptJob[], count: number, statements: Statements): TaskState[] {
  const { runId, taskExitCodes, isCancelled } = receipt;
  const tasks = Array.from({ length: count }, (_, index): TaskState => {
    return { ...unknownState, index, jobId: undefined, state: isCancelled ? 'CANCELLED' : 'NOT_SUBMITTED' };
  });
  for (const { jobId, submitTime, span } of jobs) {
    if (!span) continue;
    for (let index = span.first; index <= Math.min(span.last, count - 1); index += 1) {
      const taskId = `${jobId}_${index - span.first}`;
      const { live, record } = look(statements, taskId, { runId, submitTime });
      const state = combine(live, record, { exitCode: taskExitCodes.get(index), isSubmitted: true });
      // Of a task that is cancelled while it waits, SLURM may say nothing any more.
      const isGone = state.state === 'UNKNOWN' && isCancelled;
      tasks[index] = { ...state, ...(isGone ? { state: 'CANCELLED' } : {}), index, jobId: taskId };
    }
  }
  return tasks;
}

/** What SLURM says of one job or task of a run. */
interface Known {
  live: JobState | undefined;
  record: JobState | undefined;
}

function look(
  { queued, accounted }: Statements,
  id: string,
  { runId, submitTime }: { runId: string; submitTime: number | undefined },
): Known {
  // An id may have been given out again after the controller was set up anew: older jobs are somebody else's.
  const records = (accounted.get(id) ?? []).filter(
    (record) =>
      isOwn(record.comment, runId) &&
      (submitTime === undefined || (record.submitTime ?? 0) >= submitTime - clockSkewSeconds),
  );
  const live = queued.get(id);
  return { live: live && isOwn(live.comment, runId) ? live.state : undefined, record: records.at(-1)?.state };
}

/** Of a chain's jobs, the one that tells how the run stands: one that runs, or the first that waits, or the last that has ended. */
function chooseJob(jobs: Known[]): Known {
  const waiting = jobs.filter(({ live }) => live !== undefined && !isEnded(live.state));
  const running = waiting.find(({ live }) => live?.state !== 'PENDING');
  const ended = jobs.findLast(({ live, record }) => live !== undefined || record !== undefined);
  return running ?? waiting[0] ?? ended ?? { live: undefined, record: undefined };
}

/** Whether a job is this run's, by its comment; where a site keeps no comments, it is taken to be. */
function isOwn(comment: string, runId: string): boolean {
  return parseWord(comment) === undefined || comment.includes(jobComment(runId));
}

function combine(
  live: JobState | undefined,
  record: JobState | undefined,
  { exitCode, isSubmitted }: { exitCode: number | undefined; isSubmitted: boolean },
): JobState {
  if (live && !isEnded(live.state)) return live;
  // The job's own word goes first: sacct of SLURM 24.11 says 127 for 255 and 9 for 137.
  if (record && isEnded(record.state)) return { ...record, exitCode: exitCode ?? record.exitCode };
  if (live) return { ...live, exitCode: exitCode ?? (live.state === 'COMPLETED' ? 0 : undefined) };
  if (exitCode !== undefined) {
    return { ...unknownState, ...record, state: exitCode === 0 ? 'COMPLETED' : 'FAILED', exitCode };
  }
  return record ?? { ...unknownState, state: isSubmitted ? 'UNKNOWN' : 'NOT_SUBMITTED' };
}

const unknownState: JobState = {
  state: 'UNKNOWN',
  exitCode: undefined,
  reason: undefined,
  elapsedSeconds: undefined,
  nodes: undefined,
  startTime: undefined,
};

/** What is known of a run that is not on the cluster. */
export const neverSubmitted: JobState & Pick<QueriedRun, 'jobId'> = {
  ...unknownState,
  state: 'NOT_SUBMITTED',
  jobId: undefined,
};

function parseReceipt([runId = '', exitCode, taskCount, restarts, lastJobId, cancelled]: string[]): Receipt {
  return {
    runId,
    jobs: [],
    exitCode: parseNumber(exitCode),
    taskCount: parseNumber(taskCount),
    isCancelled: cancelled === 'cancelled',
    taskExitCodes: new Map(),
    restarts: parseNumber(restarts),
    lastJobId,
  };
}

function parseReceiptJob([jobId = '', submitTime, span = '']: string[]): ReceiptJob {
  return { jobId, submitTime: parseNumber(submitTime), span: parseSpan(span) };
}

function parseSpan(text: string): TaskSpan | undefined {
  const match = /^(\d+)-(\d+)$/.exec(text);
  return match ? { first: Number(match[1]), last: Number(match[2]) } : undefined;
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

// Why a job has waited; sacct goes on saying so when it has ended.
const waitingReasons = /^(?:JobArrayTaskLimit|Priority|Resources|BeginTime|Dependency)$/;

function parseAccounted([, state = '', exitCode = '', , start, elapsed, nodes, reason]: string[]): JobState {
  const parsed = parseState(state);
  const parsedCode = parseExitCode(exitCode);
  // A job that was stopped from outside has 0:0 there, which is not its exit status.
  const isTelling = parsedCode !== 0 || parsed === 'COMPLETED';
  return {
    state: parsed,
    exitCode: isEnded(parsed) && isTelling ? parsedCode : undefined,
    reason: isEnded(parsed) && waitingReasons.test(reason ?? '') ? undefined : parseWord(reason),
    startTime: parseNumber(start),
    elapsedSeconds: parseNumber(elapsed),
    nodes: parseWord(nodes),
  };
}

function parseNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
