import { parseMount, parseVolume } from '../config/bind.js';
import { requireProject } from '../config/project.js';
import { resourcesSchema, type Resources } from '../config/schema.js';
import { HpcrunError } from '../errors.js';
import { followLog } from '../run/logs.js';
import { planRun } from '../run/plan.js';
import { dryRun } from '../run/dry-run.js';
import { submitRun, type SubmittedRun } from '../run/submit.js';
import { exitStatusOf, waitForRun } from '../run/wait.js';
import type { Session } from '../run/session.js';
import { makeContext, withSession, type CommonOptions, type Context } from './context.js';
import { describeRun, printJson, printLine, runObject } from './output.js';

export interface SubmitOptions extends CommonOptions {
  wait?: boolean;
  dryRun?: boolean;
  name?: string;
  gpus?: string;
  cpus?: string;
  memory?: string;
  time?: string;
  partition?: string;
  account?: string;
  env?: string[];
  volume?: string[];
  mount?: string[];
  buildArg?: string[];
}

/** `hpcrun submit`. */
export async function submitCommand(words: string[], isCommand: boolean, options: SubmitOptions): Promise<number> {
  const context = makeContext(options);
  warnOfLateOptions(context, words, isCommand);
  const project = await requireProject(context.cwd);
  const plan = await planRun(
    project,
    {
      words,
      isCommand,
      ...(options.name === undefined ? {} : { name: parseName(options.name) }),
      resources: parseResources(options),
      env: options.env ?? [],
      binds: [...(options.volume ?? []).map(parseVolume), ...(options.mount ?? []).map(parseMount)],
      buildArgs: options.buildArg ?? [],
    },
    context.cwd,
    context.env,
  );
  return await withSession(context, options, async (session) => {
    if (options.dryRun === true) {
      const { runId, steps, script } = await dryRun(session, plan);
      if (options.json) printJson({ type: 'plan', runId, cluster: session.cluster.name, steps, script });
      else printLine(`${steps.map((step, index) => `${index + 1}. ${step}`).join('\n')}\n\n${script.trimEnd()}`);
      return 0;
    }
    const submitted = await submitRun(session, plan);
    printSubmitted(context, submitted, options);
    return options.wait === true ? await attend(session, context, submitted, options) : 0;
  });
}

const ownOptions = ['--gpus', '--cpus', '--memory', '--partition', '--account', '--wait', '--dry-run', '--cluster'];

/** The most common slip: options of hpcrun's behind the script, where they are the script's. */
function warnOfLateOptions({ terminal }: Context, words: string[], isCommand: boolean): void {
  const [script, ...args] = words;
  const late = args.find((word) => ownOptions.includes(word.replace(/=.*/s, '')));
  if (isCommand || script === undefined || late === undefined) return;
  terminal.note(`${late} stands behind ${script} and goes to it; for hpcrun it has to stand before.`);
}

function parseName(name: string): string {
  if (/^[\w.+-]{1,64}$/.test(name)) return name;
  throw new HpcrunError('USAGE', `--name "${name}" must be up to 64 letters, digits and . _ + -`, {
    hint: '--name baseline-2',
  });
}

function parseResources(options: SubmitOptions): Resources {
  const given = {
    gpus: options.gpus,
    cpus: options.cpus === undefined ? undefined : Number(options.cpus),
    memory: options.memory,
    time: options.time,
    partition: options.partition,
    account: options.account,
  };
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const result = resourcesSchema.safeParse(present);
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => `--${issue.path.join('.')}: ${issue.message}`);
  throw new HpcrunError('USAGE', lines.join('\n'), { hint: 'hpcrun submit --help' });
}

function printSubmitted({ terminal }: Context, submitted: SubmittedRun, options: SubmitOptions): void {
  const { record, jobId, built, converted, uploaded } = submitted;
  if (options.json) {
    printJson({
      type: 'submitted',
      runId: record.runId,
      jobId,
      cluster: record.cluster,
      image: { sha256: record.image.sha256, sizeBytes: record.image.sizeBytes, built, converted, uploaded },
      code: { treeHash: record.code.treeHash },
    });
    return;
  }
  if (options.wait) return;
  // For scripts: RUN=$(hpcrun submit train.py). A person has just read it.
  if (!process.stdout.isTTY) printLine(record.runId);
  terminal.note(
    '  hpcrun status         how it is doing\n  hpcrun logs -f        its output as it comes\n  hpcrun pull-results   what it wrote',
  );
}

/** The job's output on standard output, as `docker run` shows it; with --json the final state instead. */
async function attend(
  session: Session,
  context: Context,
  { record }: SubmittedRun,
  { json }: SubmitOptions,
): Promise<number> {
  const { terminal } = context;
  const onChange = (run: Parameters<typeof describeRun>[0]) => {
    if (run.state === 'PENDING')
      terminal.note(`Waiting in the queue${run.reason === undefined ? '' : ` (${run.reason})`}.`);
  };
  context.signal.addEventListener('abort', () => {
    terminal.note(`The job goes on: hpcrun logs -f ${record.runId}, or hpcrun cancel ${record.runId}`);
  });
  const run = json
    ? await waitForRun(session, record, onChange)
    : await followLog(session, record, (chunk) => void process.stdout.write(chunk), onChange);
  if (json) printJson(runObject(run));
  terminal.note(describeRun(run));
  if (!json) terminal.note(`  hpcrun pull-results ${record.runId}`);
  return exitStatusOf(run);
}
