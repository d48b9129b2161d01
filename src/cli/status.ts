import { HpcrunError } from '../errors.js';
import { findRuns } from '../run/find-run.js';
import { queryRuns, queryStatus } from '../run/status.js';
import { sharedPlace } from '../run/shared-place.js';
import { connectionObject, describeSharedStatus, findSharedStatus } from './shared-status.js';
import { makeContext, withSession, type CommonOptions } from './context.js';
import { printJson, printLine, renderRunTable, runObject } from './output.js';

const tableRows = 20;

export interface StatusOptions extends CommonOptions {
  last?: string;
}

/** `hpcrun status`. */
export async function statusCommand(wanted: string[], options: StatusOptions): Promise<number> {
  const context = makeContext(options);
  const last = parseLast(options.last) ?? (options.json ? Infinity : tableRows);
  return await withSession(context, options, async (session, project) => {
    const { runs } =
      wanted.length === 0
        ? await queryStatus(session)
        : await queryRuns(session, await findRuns(session, wanted, project?.directory));
    const shown = runs.reverse().slice(0, last);
    if (options.json) for (const run of shown) printJson(runObject(run));
    else if (shown.length > 0) printLine(renderRunTable(shown));
    else context.terminal.note(`No runs on ${session.cluster.name} yet: hpcrun submit train.py`);
    if (!options.json && runs.length > shown.length) {
      context.terminal.note(`${runs.length - shown.length} older runs are not shown: hpcrun status -n ${runs.length}`);
    }
    const place = sharedPlace(session.cluster, context.directories, context.env);
    const shared = place && (await findSharedStatus(place));
    if (shared && options.json) printJson(connectionObject(shared));
    else if (shared) context.terminal.note(`${session.cluster.name}: ${describeSharedStatus(shared)}`);
    return 0;
  });
}

function parseLast(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new HpcrunError('USAGE', `--last "${text}" is not a number of runs`, { hint: 'hpcrun status -n 5' });
}
