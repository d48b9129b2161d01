import { HpcrunError } from '../errors.js';
import type { RunStatus } from '../run/status.js';
import { sharedPlace } from '../run/shared-place.js';
import type { Session } from '../run/session.js';
import { printable } from '../ssh/terminal-text.js';
import { connectionObject, describeSharedStatus, findSharedStatus } from './shared-status.js';
import { makeContext, withSession, type CommonOptions, type Context } from './context.js';
import { printJson, printLine, renderRunTable, runObject } from './output.js';
import { describePlace } from '../run/describe-why.js';
import { oneCluster, withAllClusters, type Answer, type StatusSource } from './status-sources.js';
import { fingerprint, watchStatus, type Show } from './watch-status.js';
import { renderTaskTable, taskObject } from './sweep-output.js';

const tableRows = 20;

export interface StatusOptions extends CommonOptions {
  last?: string;
  all?: boolean;
  watch?: boolean;
  state?: string;
}

/** `hpcrun status`. The status of a cluster that did not answer is passed on, after the others have been shown. */
export async function statusCommand(wanted: string[], options: StatusOptions): Promise<number> {
  const context = makeContext(options);
  const choose = chooser(options);
  if (options.all !== true) {
    return await withSession(context, options, async (session, project) => {
      const status = await showStatus(
        context,
        options,
        oneCluster(session, wanted, project),
        choose,
        wanted.length > 0,
      );
      await showShared(context, options, session);
      return status;
    });
  }
  if (wanted.length > 0 || options.cluster !== undefined) {
    throw new HpcrunError('USAGE', '--all shows the runs of all clusters and takes neither runs nor --cluster', {
      hint: 'hpcrun status --all',
    });
  }
  return await withAllClusters(context, options, (source) => showStatus(context, options, source, choose));
}

async function showStatus(
  context: Context,
  options: StatusOptions,
  source: StatusSource,
  choose: (runs: RunStatus[]) => RunStatus[],
  showsTasks = false,
): Promise<number> {
  const { terminal, signal } = context;
  let answer: Answer;
  if (options.watch === true) answer = await watchStatus(source, choose, pickShow(context, options), signal);
  else {
    answer = await source.ask();
    const shown = choose(answer.runs);
    if (options.json) for (const run of shown) printJson(runObject(run));
    else if (shown.length > 0) printLine(renderRunTable(shown, { hasClusters: options.all === true }));
    else if (answer.failures.length === 0) terminal.note(describeNothing(answer.runs, source));
    // All tasks of all sweeps would be too much.
    for (const run of shown) if (showsTasks && run.tasks) printTasks(run, options);
    const more = answer.runs.length - shown.length;
    if (!options.json && more > 0 && options.state === undefined) {
      terminal.note(`${more} older runs are not shown: hpcrun status -n ${answer.runs.length}`);
    }
  }
  for (const { cluster, error } of answer.failures) {
    if (options.json) printJson({ type: 'unreachable', cluster, code: error.code, message: error.message });
    terminal.warn(`${cluster} could not be asked: ${error.message} [${error.code}]`);
  }
  return answer.failures[0]?.error.exitStatus ?? 0;
}

function describeNothing(runs: RunStatus[], { clusters }: StatusSource): string {
  return runs.length > 0
    ? `None of your runs on ${clusters.join(', ')} is in such a state.`
    : `No runs on ${clusters.join(', ')} yet: hpcrun submit train.py`;
}

/** How the answers of `--watch` are shown: a table that is drawn anew, or a line for each change. */
function pickShow(context: Context, options: StatusOptions): Show {
  const canDraw = options.json !== true && process.stdout.isTTY && context.env.TERM !== 'dumb';
  return canDraw ? drawTable(options) : printChanges(options);
}

function drawTable({ all }: StatusOptions): Show {
  let drawn = 0;
  return ({ runs, failures }, nextSeconds) => {
    // Some terminals say that they have no size.
    const [columns, rows] = [process.stdout.columns || 80, process.stdout.rows || 24];
    const time = new Date().toLocaleTimeString('sv-SE');
    const remarks = [
      ...failures.map(({ cluster, error }) => `${cluster} could not be asked: ${error.message}`),
      nextSeconds === undefined ? time : `${time}, asked again in ${nextSeconds} s; Ctrl-C ends`,
    ];
    const table = renderRunTable(runs, { hasClusters: all === true }).split('\n');
    const lines = [...table.slice(0, Math.max(1, rows - remarks.length - 1)), ...remarks];
    // A line that was broken by the terminal would be more than one.
    const shown = lines.map((line) =>
      printable(line)
        .replaceAll('\n', ' ')
        .slice(0, columns - 1),
    );
    process.stdout.write(`${drawn > 0 ? `\u001b[${drawn}A\u001b[J` : ''}${shown.join('\n')}\n`);
    drawn = shown.length;
  };
}

function printChanges({ json }: StatusOptions): Show {
  const known = new Map<string, string>();
  return ({ runs }) => {
    for (const run of [...runs].reverse()) {
      const key = `${run.record.cluster} ${run.runId}`;
      const now = fingerprint(run);
      if (known.get(key) === now) continue;
      known.set(key, now);
      const time = new Date().toLocaleTimeString('sv-SE');
      const words = [time, run.runId, run.jobId ?? '-', run.record.name, run.state, describePlace(run, Date.now())];
      if (json) printJson(runObject(run));
      else printLine(words.join('  '));
    }
  };
}

async function showShared(context: Context, { json }: StatusOptions, session: Session): Promise<void> {
  const place = sharedPlace(session.cluster, context.directories, context.env);
  const shared = place && (await findSharedStatus(place));
  if (shared && json) printJson(connectionObject(shared));
  else if (shared) context.terminal.note(`${session.cluster.name}: ${describeSharedStatus(shared)}`);
}

/** Which runs are shown, of those there are, the newest first. Throws USAGE. */
function chooser(options: StatusOptions): (runs: RunStatus[]) => RunStatus[] {
  const last = parseLast(options.last) ?? (options.json ? Infinity : tableRows);
  const states = options.state?.toUpperCase().split(',');
  if (states?.some((state) => !/^[A-Z_]+$/.test(state))) {
    throw new HpcrunError('USAGE', `--state "${options.state ?? ''}" is no state of SLURM's`, {
      hint: 'hpcrun status --state running,pending',
    });
  }
  return (runs) => runs.filter(({ state }) => states?.includes(state) !== false).slice(0, last);
}

function printTasks(run: RunStatus, { json }: StatusOptions): void {
  if (json) for (const task of run.tasks ?? []) printJson(taskObject(run, task));
  else printLine(`\n${renderTaskTable(run)}`);
}

function parseLast(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new HpcrunError('USAGE', `--last "${text}" is not a number of runs`, { hint: 'hpcrun status -n 5' });
}
