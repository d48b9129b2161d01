import ignore from 'ignore';
import type { ResultFile, ResultListing } from './result-listing.js';

/** Which of a run's results are wanted. */
export interface ResultFilter {
  /** Patterns as in .gitignore; with some, only files that match one of them. */
  include: readonly string[];
  /** Patterns as in .gitignore, the last that matches decides; they have the last word. */
  exclude: readonly string[];
  maximumBytes: number | undefined;
}

export interface SelectedResults {
  files: ResultFile[];
  /** Files that are larger than wanted. */
  tooLarge: ResultFile[];
  /** Paths of files that somebody may be writing to. */
  beingWritten: string[];
}

/** What has not changed for so long is taken for finished while its run goes on. */
const quietSeconds = 10;

/** Pure: what of a listing is to be brought. `live` takes files that may still be written to. */
export function selectResults(
  { files, listedAt }: Pick<ResultListing, 'files' | 'listedAt'>,
  filter: ResultFilter,
  live: boolean,
): SelectedResults {
  const isWanted = makeMatcher(filter);
  const selected: SelectedResults = { files: [], tooLarge: [], beingWritten: [] };
  for (const file of files) {
    if (!isWanted(file.path)) continue;
    const isQuiet = file.isFinal || file.type === 'symlink' || listedAt - file.mtime >= quietSeconds;
    if (filter.maximumBytes !== undefined && file.sizeBytes > filter.maximumBytes) selected.tooLarge.push(file);
    else if (live || isQuiet) selected.files.push(file);
    else selected.beingWritten.push(file.path);
  }
  return selected;
}

function makeMatcher({ include, exclude }: ResultFilter): (path: string) => boolean {
  if (include.length === 0 && exclude.length === 0) return () => true;
  const included = ignore({ ignorecase: false }).add([...include]);
  const excluded = ignore({ ignorecase: false }).add([...exclude]);
  return (path) => {
    // A path that cannot be one here is reported as such, not passed over.
    if (!ignore.isPathValid(path)) return true;
    return (include.length === 0 || included.ignores(path)) && !excluded.ignores(path);
  };
}
