import { hostname } from 'node:os';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseBytes } from '../config/quantities.js';
import { HpcrunError } from '../errors.js';
import { findRuns } from '../run/find-run.js';
import {
  defaultResultsDirectory,
  pullResults,
  reportLeft,
  shortPath,
  type PulledRun,
  type PullOptions,
} from '../run/pull-results.js';
import type { RunRecord } from '../run/record.js';
import type { Session } from '../run/session.js';
import { RateLimit } from '../transfer/rate-limit.js';
import { makeContext, withSession, type CommonOptions, type Context } from './context.js';
import { printJson, printLine } from './output.js';

export interface PullResultsOptions extends CommonOptions {
  to?: string;
  include?: string[];
  exclude?: string[];
  maxSize?: string;
  live?: boolean;
  watch?: boolean;
  bwlimit?: string;
}

/** Exit status where files did not arrive as they are there; the next pull tries them again. */
const incompleteStatus = 6;

/** `hpcrun pull-results`. */
export async function pullResultsCommand(wanted: string[], options: PullResultsOptions): Promise<number> {
  const pull: PullOptions = {
    filter: {
      include: options.include ?? [],
      exclude: options.exclude ?? [],
      maximumBytes: parseSize('--max-size', options.maxSize),
    },
    live: options.live === true,
    limit: new RateLimit(parseSize('--bwlimit', options.bwlimit)),
  };
  const context = makeContext(options);
  return await withSession(context, options, async (session, project) => {
    const records = await findRuns(session, wanted, project?.directory);
    const unique = [...new Map(records.map((record) => [record.runId, record])).values()];
    const pulled: PulledRun[] = [];
    const tasks = unique.map((record) => async () => {
      const directory = chooseDirectory(record, {
        context,
        options,
        project: project?.directory,
        many: unique.length > 1,
      });
      pulled.push(await pullOne(session, record, directory, { pull, options, cwd: context.cwd }));
    });
    // Runs that are watched are watched at once; otherwise the link is better used by one after the other.
    if (options.watch) await Promise.all(tasks.map((task) => task()));
    else for (const task of tasks) await task();
    return pulled.some(({ failed }) => failed.length > 0) ? incompleteStatus : 0;
  });
}

function parseSize(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = parseBytes(text);
  if (bytes !== undefined && bytes > 0) return bytes;
  throw new HpcrunError('USAGE', `${flag} is "${text}", which is no size`, { hint: `Write it as in ${flag} 500M.` });
}

function chooseDirectory(
  { runId, origin }: RunRecord,
  where: { context: Context; options: PullResultsOptions; project: string | undefined; many: boolean },
): string {
  const { context, options, project, many } = where;
  if (options.to !== undefined) return resolve(context.cwd, many ? join(options.to, runId) : options.to);
  const isOwn = origin.host === hostname() && existsSync(origin.projectDirectory);
  return defaultResultsDirectory(runId, isOwn ? origin.projectDirectory : project, context.cwd);
}

/** One run, once or until it has ended; returns what became of the last pull. */
async function pullOne(
  session: Session,
  record: RunRecord,
  directory: string,
  { pull, options, cwd }: { pull: PullOptions; options: PullResultsOptions; cwd: string },
): Promise<PulledRun> {
  const tell = (pulled: PulledRun) => {
    reportLeft(session, pulled);
    if (options.json) printJson(pulledObject(pulled));
  };
  let last: PulledRun | undefined;
  if (options.watch) {
    const { watchResults } = await import('../run/watch-results.js');
    await watchResults(session, record, directory, pull, (pulled, isLast) => {
      last = pulled;
      if (isLast) tell(pulled);
      else if (pulled.files > 0 && options.json) printJson(pulledObject(pulled));
    });
  } else {
    last = await pullResults(session, record, directory, pull);
    tell(last);
  }
  if (last === undefined) throw new Error(`no pull of ${record.runId}`);
  if (last.resultFiles > 0) {
    if (!options.json) printLine(shortPath(directory, cwd));
  } else if (last.beingWritten.length + last.tooLarge.length === 0) {
    const chosen = pull.filter.include.length + pull.filter.exclude.length > 0;
    session.progress.note(
      chosen
        ? `Run ${record.runId} has no results that --include and --exclude leave.`
        : `Run ${record.runId} has not created or changed any file so far.`,
    );
  }
  if (last.files === 0 && last.resultFiles > 0 && !options.watch) {
    session.progress.note(`Nothing new from ${record.runId}`);
  }
  return last;
}

function pulledObject(pulled: PulledRun): { type: string } & Record<string, unknown> {
  const { record, files, bytes, directory, refused, failed, beingWritten, tooLarge } = pulled;
  return {
    type: 'pulled',
    runId: record.runId,
    files,
    bytes,
    directory,
    refused: refused.length,
    failed: failed.length,
    beingWritten: beingWritten.length,
    tooLarge: tooLarge.map(({ path, sizeBytes }) => ({ path, sizeBytes })),
  };
}
