import { HpcrunError } from '../errors.js';
import { formatBytes, formatDuration } from '../progress.js';
import { explainEnd, mayBeExplained, readTail } from '../run/explain-end.js';
import { findRun } from '../run/find-run.js';
import type { RunRecord } from '../run/record.js';
import { printRunFile, showRun, type ShownRun } from '../run/show-run.js';
import { describeProgress } from '../slurm/array-tasks.js';
import { renderDirectives } from '../slurm/directives.js';
import { quoteAll } from '../ssh/quote.js';
import { printable } from '../ssh/terminal-text.js';
import { makeContext, withSession, type CommonOptions } from './context.js';
import { noteAdvice, printJson, printLine, runObject } from './output.js';

export interface ShowOptions extends CommonOptions {
  script?: boolean;
  diff?: boolean;
}

/** `hpcrun show`. With `--script` or `--diff` it prints that file as it is. */
export async function showCommand(wanted: string, options: ShowOptions): Promise<number> {
  const context = makeContext(options);
  if ([options.script, options.diff, options.json].filter((each) => each === true).length > 1) {
    throw new HpcrunError('USAGE', '--script, --diff and --json exclude each other', {
      hint: 'hpcrun show --script @last',
    });
  }
  return await withSession(context, options, async (session, project) => {
    const record = await findRun(session, wanted, project?.directory);
    if (options.script || options.diff) {
      await printRunFile(session, record, options.script ? 'script' : 'diff', (chunk) => {
        process.stdout.write(chunk);
      });
      return 0;
    }
    const shown = await showRun(session, record);
    if (options.json) printJson(shownObject(shown));
    else {
      printLine(renderShown(shown));
      noteAdvice(
        context,
        mayBeExplained(shown.run) ? explainEnd(shown.run, await readTail(session, record)) : undefined,
      );
    }
    return 0;
  });
}

function shownObject({ run, usage, directory }: ShownRun) {
  const time = (seconds: number | undefined) => (seconds === undefined ? null : new Date(seconds * 1000).toISOString());
  return {
    ...runObject(run),
    directory,
    submittedAt: time(usage?.submittedAt),
    startedAt: time(usage?.startedAt),
    endedAt: time(usage?.endedAt),
    cpuSeconds: usage?.cpuSeconds ?? null,
    peakMemoryBytes: usage?.peakMemoryBytes ?? null,
    allocated: usage?.allocated ?? null,
    record: run.record,
  };
}

function renderShown({ run, usage, directory }: ShownRun): string {
  const { record } = run;
  const status = run.exitCode === undefined ? '' : `, exit status ${run.exitCode}`;
  const time = (what: string, seconds: number | undefined) =>
    seconds === undefined ? [] : [`${what} ${new Date(seconds * 1000).toLocaleString('sv-SE')}`];
  const times = [
    ...time('submitted', usage?.submittedAt ?? Date.parse(record.createdAt) / 1000),
    ...time('started', usage?.startedAt),
    ...time('ended', usage?.endedAt),
    ...(run.elapsedSeconds === undefined ? [] : [`ran ${formatDuration(run.elapsedSeconds)}`]),
  ];
  const used = [
    ...(usage?.cpuSeconds === undefined ? [] : [`${formatDuration(usage.cpuSeconds)} of processor time`]),
    ...(usage?.peakMemoryBytes === undefined ? [] : [`${formatBytes(usage.peakMemoryBytes)} of memory in one task`]),
  ];
  const rows: [string, string | undefined][] = [
    ['run', `${run.runId} (${record.name})`],
    [
      'sweep',
      record.sweep &&
        `${describeProgress(run.tasks) ?? ''}; ${record.sweep.parameters.join(', ')}: hpcrun status ${run.runId}`,
    ],
    ['repeats', record.rerunOf],
    ['state', `${run.state}${run.reason === undefined ? '' : ` (${run.reason})`}${status}`],
    [
      'job',
      run.jobId === undefined
        ? 'none yet'
        : `${run.jobId} on ${record.cluster}${run.nodes === undefined ? '' : `, ${run.nodes}`}`,
    ],
    ['times', times.join(', ')],
    ['restarts', run.restarts ? String(run.restarts) : undefined],
    ['asked for', describeAsked(record)],
    ['was given', usage?.allocated],
    ['used', used.join(', ')],
    ['command', quoteAll(record.command)],
    ['in', `${record.containerDirectory} of the container`],
    ['image', describeImage(record)],
    ['code', describeCode(record)],
    [
      'binds',
      record.binds.map(({ source, target, readonly }) => `${source}:${target}${readonly ? ':ro' : ''}`).join('\n'),
    ],
    ['variables', record.variables.join(' ')],
    ['submitted by', `hpcrun ${record.hpcrunVersion} on ${record.origin.host} from ${record.origin.projectDirectory}`],
    ['directory', directory],
  ];
  return rows
    .filter((row): row is [string, string] => row[1] !== undefined && row[1] !== '')
    .map(([name, value]) => `${name.padEnd(14)}${printable(value).replaceAll('\n', `\n${' '.repeat(14)}`)}`)
    .join('\n');
}

/** The options of the job in sbatch's words, without those that every job has. */
function describeAsked({ runId, resources }: RunRecord): string {
  const head = { name: runId, comment: runId, logPath: runId, workingDirectory: runId };
  const always = new Set(renderDirectives({ ...head, resources: {} }));
  return renderDirectives({ ...head, resources })
    .filter((option) => !always.has(option))
    .join(' ');
}

function describeImage({ image }: RunRecord): string {
  const layers = image.overlays.map(({ sha256, sizeBytes }) => `${sha256} over it, ${formatBytes(sizeBytes)}`);
  return [`${image.tag} (${image.id})`, `${image.sha256}, ${formatBytes(image.sizeBytes)}`, ...layers].join('\n');
}

function describeCode({ code }: RunRecord): string {
  const { git } = code;
  const branch = git?.branch === undefined ? '' : ` on ${git.branch}`;
  const changes = git?.isDirty ? ', with changes: hpcrun show --diff' : '';
  const commit = git === null ? 'not in git' : `commit ${git.commit}${branch}${changes}`;
  return `${commit}\n${code.files} files, ${code.treeHash}`;
}
