import { explainEnd, mayBeExplained, readTail } from '../run/explain-end.js';
import { findRun } from '../run/find-run.js';
import { exitStatusOf, waitForRun } from '../run/wait.js';
import { makeContext, withSession, type CommonOptions } from './context.js';
import { describeRun, noteAdvice, printJson, runObject } from './output.js';
import { attendSweep } from './sweep-output.js';

/** `hpcrun wait`. */
export async function waitCommand(wanted: string, options: CommonOptions): Promise<number> {
  const context = makeContext(options);
  return await withSession(context, options, async (session, project) => {
    const record = await findRun(session, wanted, project?.directory);
    if (record.sweep) return await attendSweep(session, context, { record, json: options.json === true });
    const run = await waitForRun(session, record, (change) => {
      context.terminal.note(describeRun(change));
    });
    if (options.json) printJson(runObject(run));
    noteAdvice(context, mayBeExplained(run) ? explainEnd(run, await readTail(session, record)) : undefined);
    return exitStatusOf(run);
  });
}
