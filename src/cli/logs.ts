import { describeWaiting } from '../run/describe-why.js';
import { explainEnd, OutputTail } from '../run/explain-end.js';
import { findRun } from '../run/find-run.js';
import { followLog, printLog } from '../run/logs.js';
import { parseRank, RankLines } from '../run/rank-lines.js';
import { makeContext, withSession, type CommonOptions } from './context.js';
import { describeRun, noteAdvice, printJson, runObject } from './output.js';
import { showSweepLogs } from './sweep-output.js';

export interface LogsOptions extends CommonOptions {
  follow?: boolean;
  rank?: string;
}

/** `hpcrun logs`. The output is the job's own, byte for byte; with --json each piece is an object. */
export async function logsCommand(wanted: string, options: LogsOptions): Promise<number> {
  const context = makeContext(options);
  return await withSession(context, options, async (session, project) => {
    const record = await findRun(session, wanted, project?.directory);
    if (record.sweep) return await showSweepLogs(session, record, options);
    const tail = new OutputTail();
    const lines = options.rank === undefined ? undefined : new RankLines(parseRank(options.rank, record), record);
    const onOutput = (all: Buffer) => {
      tail.push(all);
      print(lines ? lines.push(all) : all);
    };
    const print = (chunk: Buffer) => {
      if (chunk.length === 0) return;
      if (options.json) printJson({ type: 'output', runId: record.runId, text: chunk.toString('utf8') });
      else process.stdout.write(chunk);
    };
    if (options.follow !== true) {
      await printLog(session, record, onOutput);
      if (lines) print(lines.end());
      return 0;
    }
    const run = await followLog(session, record, onOutput, (change) => {
      if (change.state === 'PENDING') context.terminal.note(describeWaiting(change, Date.now()));
    });
    if (lines) print(lines.end());
    if (options.json) printJson(runObject(run));
    context.terminal.note(describeRun(run));
    noteAdvice(context, explainEnd(run, tail.text));
    return 0;
  });
}
