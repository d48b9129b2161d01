import { explainEnd, OutputTail } from '../run/explain-end.js';
import { findRun } from '../run/find-run.js';
import { followLog, printLog } from '../run/logs.js';
import { makeContext, withSession, type CommonOptions } from './context.js';
import { describeRun, noteAdvice, printJson, runObject } from './output.js';

export interface LogsOptions extends CommonOptions {
  follow?: boolean;
}

/** `hpcrun logs`. The output is the job's own, byte for byte; with --json each piece is an object. */
export async function logsCommand(wanted: string, options: LogsOptions): Promise<number> {
  const context = makeContext(options);
  return await withSession(context, options, async (session, project) => {
    const record = await findRun(session, wanted, project?.directory);
    const tail = new OutputTail();
    const onOutput = (chunk: Buffer) => {
      tail.push(chunk);
      if (options.json) printJson({ type: 'output', runId: record.runId, text: chunk.toString('utf8') });
      else process.stdout.write(chunk);
    };
    if (options.follow !== true) {
      await printLog(session, record, onOutput);
      return 0;
    }
    const run = await followLog(session, record, onOutput, (change) => {
      if (change.state === 'PENDING')
        context.terminal.note(`Waiting in the queue${change.reason === undefined ? '' : ` (${change.reason})`}.`);
    });
    if (options.json) printJson(runObject(run));
    context.terminal.note(describeRun(run));
    noteAdvice(context, explainEnd(run, tail.text));
    return 0;
  });
}
