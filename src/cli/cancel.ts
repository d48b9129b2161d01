import { cancelRuns } from '../run/cancel.js';
import { findRuns } from '../run/find-run.js';
import { makeContext, withSession, type CommonOptions } from './context.js';
import { printJson, printLine } from './output.js';

/** `hpcrun cancel`. */
export async function cancelCommand(wanted: string[], options: CommonOptions): Promise<number> {
  const context = makeContext(options);
  return await withSession(context, options, async (session, project) => {
    const results = await cancelRuns(session, await findRuns(session, wanted, project?.directory));
    for (const { run, cancelled } of results) {
      const { runId } = run;
      const { name } = run.record;
      if (options.json)
        printJson({ type: 'cancelled', runId, jobId: run.jobId ?? null, name, cancelled, state: run.state });
      else if (cancelled) printLine(`Cancelled ${runId} (job ${run.jobId ?? '-'}, ${name})`);
      else printLine(`${runId} (job ${run.jobId ?? '-'}, ${name}) had ended already: ${run.state}`);
    }
    return 0;
  });
}
