import { dirname, join, relative, resolve, sep } from 'node:path';
import { RemoteLayout } from '../cluster/layout.js';
import { resultsDirectoryName } from '../cluster/results-directory-name.js';
import { formatBytes, withStep } from '../progress.js';
import { printable } from '../ssh/terminal-text.js';
import type { PullResult } from '../transfer/arrivals.js';
import { pullFiles, removeAbandoned } from '../transfer/pull-files.js';
import type { RateLimit } from '../transfer/rate-limit.js';
import { selectNew } from '../transfer/remote-file.js';
import type { RunRecord } from './record.js';
import { listResults, type ResultFile } from './result-listing.js';
import { prepareResultsParent } from './results-directory.js';
import { selectResults, type ResultFilter } from './select-results.js';
import { writeAtomically } from '../local-file.js';
import type { Session } from './session.js';
import { parseTaskId } from './sweep/task-record.js';
import { renderParameterTable } from './sweep/task-file.js';

export interface PullOptions {
  /** `exclude` comes behind what the project excludes. */
  filter: ResultFilter;
  /** Whether files are taken that may still be written to. */
  live: boolean;
  limit: RateLimit;
}

export interface PulledRun extends PullResult {
  record: RunRecord;
  /** Absolute. */
  directory: string;
  /** All results of the run that are wanted, also those that were here already. */
  resultFiles: number;
  /** Files that were left because of their size. */
  tooLarge: ResultFile[];
  /** Whether the job had written its exit status before its results were listed. */
  hasEnded: boolean;
  /** The far side's clock when it listed, in seconds since 1970. */
  listedAt: number;
}

/** `hpcrun-results/<run-id>` in the project the run came from, if `projectDirectory` is known; otherwise here. A task's is in its sweep's. */
export function defaultResultsDirectory(runId: string, projectDirectory: string | undefined, cwd: string): string {
  return resolve(projectDirectory ?? cwd, resultsDirectoryName, runId.replace('.', sep));
}

/**
 * Brings back what a run created or changed and what is not here yet, and tells of what was left. Throws RUN_NOT_FOUND,
 * TRANSFER_FAILED.
 */
export async function pullResults(
  session: Session,
  record: RunRecord,
  directory: string,
  options: PullOptions,
): Promise<PulledRun> {
  const listing = await listResults(session, record);
  const filter = { ...options.filter, exclude: [...record.resultsExclude, ...options.filter.exclude] };
  const selected = selectResults(listing, filter, options.live);
  const pulled: PulledRun = {
    ...{ files: 0, bytes: 0, refused: [], failed: [], beingWritten: [] },
    ...{ record, directory, resultFiles: selected.files.length, tooLarge: selected.tooLarge },
    ...{ hasEnded: listing.hasEnded, listedAt: listing.listedAt },
  };
  removeAbandoned(directory, listing.files);
  const wanted = selectNew(selected.files, directory);
  if (wanted.length > 0) {
    if (parseTaskId(record.runId).task !== undefined) await prepareResultsParent(dirname(directory));
    await prepareResultsParent(directory);
    Object.assign(pulled, await bring(session, record, wanted, directory, options));
    if (record.sweep) await writeAtomically(join(directory, 'params.csv'), renderParameterTable(record.sweep));
  }
  pulled.beingWritten.push(...selected.beingWritten);
  return pulled;
}

async function bring(
  session: Session,
  record: RunRecord,
  wanted: ResultFile[],
  directory: string,
  { live, limit }: PullOptions,
): Promise<PullResult> {
  const connection = await session.connect();
  const total = wanted.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const { directory: from } = new RemoteLayout(record.root).run(record.runId);
  let shownAtMs = 0;
  return await withStep(
    session.progress,
    `Pulling the results of ${record.runId}`,
    (step) =>
      pullFiles(connection, from, wanted, directory, {
        live,
        limit,
        signal: session.signal,
        onProgress: (bytes) => {
          const now = performance.now();
          if (now - shownAtMs < 100) return;
          shownAtMs = now;
          step.update(`${formatBytes(bytes)} of ${formatBytes(total)}`);
        },
      }),
    ({ files, bytes }) => `Pulled ${count(files, 'file')} (${formatBytes(bytes)}) of ${record.runId}`,
  );
}

/** Tells what a pull has left, and why. */
export function reportLeft(session: Session, { refused, failed, beingWritten, tooLarge }: PulledRun): void {
  const { progress } = session;
  for (const { path, why } of [...refused, ...failed]) progress.warn(`${shown(path)} was not pulled: ${why}`);
  if (tooLarge.length > 0) {
    const named = tooLarge.map(({ path, sizeBytes }) => `  ${formatBytes(sizeBytes).padStart(8)}  ${shown(path)}`);
    progress.note(`Larger than --max-size and left on the cluster:\n${named.join('\n')}`);
  }
  if (beingWritten.length > 0) {
    const are = beingWritten.length === 1 ? 'is' : 'are';
    const come = beingWritten.length === 1 ? 'it comes' : 'they come';
    progress.note(
      `${count(beingWritten.length, 'file')} ${are} still being written; ${come} with the next pull, or now with --live.`,
    );
  }
}

/** A name from the cluster on a line of its own. */
function shown(path: string): string {
  return printable(path).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** A directory as a person would write it from here. */
export function shortPath(directory: string, cwd: string): string {
  const short = relative(cwd, directory);
  return short === '' ? '.' : short.startsWith(`..${sep}..`) ? directory : short;
}
