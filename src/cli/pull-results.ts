import { hostname } from 'node:os';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { findRun } from '../run/find-run.js';
import { defaultResultsDirectory, pullResults, shortPath } from '../run/pull-results.js';
import { makeContext, withSession, type CommonOptions } from './context.js';
import { printJson, printLine } from './output.js';

export interface PullOptions extends CommonOptions {
  to?: string;
}

/** `hpcrun pull-results`. */
export async function pullResultsCommand(wanted: string, options: PullOptions): Promise<number> {
  const context = makeContext(options);
  return await withSession(context, options, async (session, project) => {
    const record = await findRun(session, wanted, project?.directory);
    const { host, projectDirectory } = record.origin;
    const home = host === hostname() && existsSync(projectDirectory) ? projectDirectory : project?.directory;
    const directory =
      options.to === undefined
        ? defaultResultsDirectory(record.runId, home, context.cwd)
        : resolve(context.cwd, options.to);
    const { files, bytes, resultFiles, refused } = await pullResults(session, record, directory);
    if (options.json)
      printJson({ type: 'pulled', runId: record.runId, files, bytes, directory, refused: refused.length });
    else if (resultFiles > 0) printLine(shortPath(directory, context.cwd));
    return 0;
  });
}
