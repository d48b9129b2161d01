import { requireProject } from '../config/project.js';
import { describeWaiting } from '../run/describe-why.js';
import { explainEnd, mayBeExplained, OutputTail, readTail } from '../run/explain-end.js';
import { followLog } from '../run/logs.js';
import { planRun } from '../run/plan.js';
import { dryRun } from '../run/dry-run.js';
import { submitRun, type SubmittedRun } from '../run/submit.js';
import { exitStatusOf, waitForRun } from '../run/wait.js';
import type { Session } from '../run/session.js';
import { requireAllowed, resourcesOn } from '../run/site-request.js';
import { makeContext, withSession, type Context } from './context.js';
import { forwardUntilEnd } from './forward.js';
import { describeRun, noteAdvice, printJson, printLine, runObject } from './output.js';
import { attendSweep } from './sweep-output.js';
import { parseRunRequest, readSweep, warnOfLateOptions, type RunOptions } from './run-options.js';

export interface SubmitOptions extends RunOptions {
  wait?: boolean;
  dryRun?: boolean;
}

/** `hpcrun submit`. */
export async function submitCommand(words: string[], isCommand: boolean, options: SubmitOptions): Promise<number> {
  const context = makeContext(options);
  warnOfLateOptions(context, words, isCommand);
  const project = await requireProject(context.cwd);
  const sweep = await readSweep(options, context.cwd);
  const request = { ...parseRunRequest(words, isCommand, options, context.cwd), ...(sweep ? { sweep } : {}) };
  const asked = await planRun(project, request, context.cwd, context.env);
  return await withSession(context, options, async (session) => {
    const plan = { ...asked, resources: resourcesOn(session.cluster, asked.resources) };
    const warn = (text: string) => {
      session.progress.warn(text);
    };
    requireAllowed(session.cluster, plan.resources, warn, plan);
    if (options.dryRun === true) {
      const { runId, steps, script } = await dryRun(session, plan);
      if (options.json) printJson({ type: 'plan', runId, cluster: session.cluster.name, steps, script });
      else printLine(`${steps.map((step, index) => `${index + 1}. ${step}`).join('\n')}\n\n${script.trimEnd()}`);
      return 0;
    }
    const submitted = await submitRun(session, plan);
    printSubmitted(context, submitted, options);
    if (options.wait !== true) return 0;
    if (!isService(submitted)) return await attend(session, context, submitted, options);
    const anyPort = { port: undefined, localPort: undefined };
    return await forwardUntilEnd(session, context, submitted.record, anyPort, options);
  });
}

/** What it prints is of less interest than where it listens. */
function isService({ record }: SubmittedRun): boolean {
  return record.template === 'service';
}

export function printSubmitted(
  { terminal }: Context,
  submitted: SubmittedRun,
  options: Pick<SubmitOptions, 'json' | 'wait'>,
): void {
  const { record, jobId, built, converted, uploaded } = submitted;
  if (options.json) {
    printJson({
      type: 'submitted',
      runId: record.runId,
      jobId,
      cluster: record.cluster,
      image: { sha256: record.image.sha256, sizeBytes: record.image.sizeBytes, built, converted, uploaded },
      code: { treeHash: record.code.treeHash },
      ...(record.sweep ? { tasks: record.sweep.tasks.length, tasksSubmitted: submitted.tasks } : {}),
    });
    return;
  }
  if (options.wait) return;
  // For scripts: RUN=$(hpcrun submit train.py). A person has just read it.
  if (!process.stdout.isTTY) printLine(record.runId);
  if (isService(submitted)) terminal.note(`  hpcrun forward        the URL to open`);
  terminal.note(
    record.sweep
      ? '  hpcrun status @last   how its tasks are doing\n  hpcrun logs @last.0   what the first has printed\n  hpcrun pull-results   what all of them wrote'
      : '  hpcrun status         how it is doing\n  hpcrun logs -f        its output as it comes\n  hpcrun pull-results   what it wrote',
  );
}

/** The job's output on standard output, as `docker run` shows it; with --json the final state instead. */
export async function attend(
  session: Session,
  context: Context,
  { record }: SubmittedRun,
  { json = false }: Pick<SubmitOptions, 'json'>,
): Promise<number> {
  const { terminal } = context;
  const onChange = (run: Parameters<typeof describeRun>[0]) => {
    if (run.state === 'PENDING') terminal.note(describeWaiting(run, Date.now()));
  };
  context.signal.addEventListener('abort', () => {
    terminal.note(`The job goes on: hpcrun logs -f ${record.runId}, or hpcrun cancel ${record.runId}`);
  });
  if (record.sweep) return await attendSweep(session, context, { record, json });
  const tail = new OutputTail();
  const onOutput = (chunk: Buffer) => {
    tail.push(chunk);
    process.stdout.write(chunk);
  };
  const run = json ? await waitForRun(session, record, onChange) : await followLog(session, record, onOutput, onChange);
  if (json) printJson(runObject(run));
  terminal.note(describeRun(run));
  noteAdvice(context, explainEnd(run, json && mayBeExplained(run) ? await readTail(session, record) : tail.text));
  if (!json) terminal.note(`  hpcrun pull-results ${record.runId}`);
  return exitStatusOf(run);
}
