import ignore from 'ignore';
import { relative, resolve, sep } from 'node:path';
import { RemoteLayout } from '../cluster/layout.js';
import { resultsDirectoryName } from '../cluster/select-files.js';
import { HpcrunError } from '../errors.js';
import { formatBytes, withStep } from '../progress.js';
import { quote } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import { printable } from '../ssh/terminal-text.js';
import { fromMount, pullFiles, selectNew, type PullResult, type RemoteFile } from '../transfer/pull-files.js';
import type { RunRecord } from './record.js';
import { prepareResultsParent } from './results-directory.js';
import type { Session } from './session.js';

export interface PulledRun extends PullResult {
  record: RunRecord;
  /** Absolute. */
  directory: string;
  /** All results of the run, also those that were here already. */
  resultFiles: number;
}

/** `hpcrun-results/<run-id>` in the project the run came from, if `projectDirectory` is known; otherwise here. */
export function defaultResultsDirectory(runId: string, projectDirectory: string | undefined, cwd: string): string {
  return resolve(projectDirectory ?? cwd, resultsDirectoryName, runId);
}

/** Brings back what a run created or changed and what is not here yet. Throws RUN_NOT_FOUND, TRANSFER_FAILED. */
export async function pullResults(session: Session, record: RunRecord, directory: string): Promise<PulledRun> {
  const run = new RemoteLayout(record.root).run(record.runId);
  const results = await listResults(session, record);
  const wanted = await selectNew(results, directory);
  const total = wanted.reduce((sum, file) => sum + file.sizeBytes, 0);
  if (results.length === 0) {
    session.progress.note(`Run ${record.runId} has not created or changed any file so far.`);
    return { files: 0, bytes: 0, refused: [], record, directory, resultFiles: 0 };
  }
  await prepareResultsParent(directory);
  const connection = await session.connect();
  const pulled = await withStep(
    session.progress,
    `Pulling the results of ${record.runId}`,
    (step) =>
      pullFiles(connection, run.work, wanted, directory, {
        mount: record.mount,
        signal: session.signal,
        onProgress: (bytes) => {
          step.update(`${formatBytes(bytes)} of ${formatBytes(total)}`);
        },
      }),
    ({ files, bytes }) =>
      files === 0
        ? `Nothing new from ${record.runId}`
        : `Pulled ${files} file${files === 1 ? '' : 's'} (${formatBytes(bytes)})`,
  );
  for (const { path, why } of pulled.refused) session.progress.warn(`${printable(path)} was not pulled: ${why}`);
  return { ...pulled, record, directory, resultFiles: results.length };
}

/** What the run created or changed in its work copy, without what the project excludes. */
async function listResults(session: Session, record: RunRecord): Promise<RemoteFile[]> {
  const layout = new RemoteLayout(record.root);
  const run = layout.run(record.runId);
  const { stdout } = await runRemote(
    await session.connect(),
    'listing results',
    renderListing(run.work, layout.snapshot(record.code.treeHash), run.baseline),
    { signal: session.signal, expected: [4], timeoutMs: 600_000 },
  );
  const listing = parseListing(stdout, record.mount);
  if (!listing.isComplete) {
    throw new HpcrunError('RUN_NOT_FOUND', `run ${record.runId} is not on ${session.cluster.name} any more`, {
      hint: 'hpcrun status',
    });
  }
  const excluded = ignore({ ignorecase: false }).add(record.resultsExclude);
  return listing.files.filter((file) => !ignore.isPathValid(file.path) || !excluded.ignores(file.path));
}

// A file is a result if the project has none of its name, or if it changed (ctime, which no program can set) after the
// work copy was made. The first part holds even where the clocks of nodes disagree.
function renderListing(work: string, snapshot: string, baseline: string): string {
  return `cd ${quote(snapshot)} 2>/dev/null && find . ! -type d -printf 'p%P\\0'
cd ${quote(work)} 2>/dev/null || exit 4
find . \\( -type f -o -type l \\) \\( -cnewer ${quote(baseline)} -printf 'n%y %s %T@ %P\\0%l\\0' -o -printf 'o%y %s %T@ %P\\0%l\\0' \\)
printf 'end\\0'
`;
}

/** Pure: the listing's output to files. */
export function parseListing(output: Buffer, mount: string): { files: RemoteFile[]; isComplete: boolean } {
  const project = new Set<string>();
  const files: RemoteFile[] = [];
  // What stands behind the last NUL has broken off.
  const fields = output.toString('utf8').split('\0').slice(0, -1).values();
  let isComplete = false;
  for (const field of fields) {
    if (field === 'end') isComplete = true;
    else if (field.startsWith('p')) project.add(field.slice(1));
    const match = /^([no])([fl]) (\d+) (-?[\d.]+) (.+)$/s.exec(field);
    if (!match) continue;
    const [, age, type, size, mtime, path = ''] = match;
    const linkTarget = fromMount(path, fields.next().value ?? '', mount);
    if (age === 'o' && project.has(path)) continue;
    files.push({
      path,
      type: type === 'l' ? 'symlink' : 'file',
      sizeBytes: Number(size),
      mtime: Number(mtime),
      linkTarget,
    });
  }
  return { files, isComplete };
}

/** A directory as a person would write it from here. */
export function shortPath(directory: string, cwd: string): string {
  const short = relative(cwd, directory);
  return short === '' ? '.' : short.startsWith(`..${sep}..`) ? directory : short;
}
