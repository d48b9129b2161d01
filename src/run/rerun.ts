import { hostname } from 'node:os';
import { RemoteLayout } from '../cluster/layout.js';
import type { Project } from '../config/project.js';
import { mergeResources, type Resources } from '../config/resources.js';
import { HpcrunError } from '../errors.js';
import { packageVersion } from '../package-directory.js';
import { withStep } from '../progress.js';
import { isEnded } from '../slurm/states.js';
import { renderJobScript } from '../slurm/job-script.js';
import { loadTemplate } from '../slurm/templates.js';
import { renderScriptInput } from './describe-run.js';
import type { RunRecord } from './record.js';
import { makeRunId } from './run-id.js';
import type { Session } from './session.js';
import { proxyVariables } from './site-request.js';
import { queryRun } from './status.js';
import { describeSubmitted, type SubmittedRun } from './submit.js';
import { submitOnce } from './submit-once.js';
import type { Submission, SubmissionResult } from './submission.js';
import { parseTaskId } from './sweep/task-record.js';

/** What is to be different this time. */
export interface RerunRequest {
  /** Of a sweep, only the tasks that have failed. */
  onlyFailed: boolean;
  name: string | undefined;
  resources: Resources;
  /** Those that are given anew. */
  variables: Record<string, string>;
}

/**
 * Submits a run again from its record: the same image, code, command, parameters and resources, and the values of its variables as
 * they are in its directory on the cluster. Needs neither the engine nor the project. Throws RUN_NOT_FOUND or IMAGE_NOT_STORED
 * where a clean-up has taken something, VARIABLE_MISSING, USAGE and what submitting throws.
 */
export async function rerunRun(
  session: Session,
  wanted: RunRecord,
  request: RerunRequest,
  project: Project | undefined,
): Promise<SubmittedRun> {
  const original = await chooseTasks(session, wanted, request.onlyFailed);
  const record = renewRecord(original, request, project);
  const layout = new RemoteLayout(record.root, record.store);
  const template = await loadTemplate(record.template, project?.directory);
  const submission: Submission = {
    record,
    jobScript: renderJobScript(template, renderScriptInput(session, record)),
    variables: request.variables,
    snapshot: undefined,
    repeats: original.runId,
    changes: undefined,
    storeGroup: session.cluster.store?.group,
  };
  const result = await withStep(
    session.progress,
    'Submitting',
    () => keepingRecord(session, record, () => submitWithVariables(session, layout, submission, project)),
    (done) => describeSubmitted(session, record, done),
  );
  const { jobId, tasks = record.sweep?.tasks.length ?? 0 } = result;
  const submitted = { ...record, jobId };
  await session.records.save(submitted);
  return { record: submitted, jobId, tasks, built: false, converted: false, uploaded: false };
}

/** The record of a run, with those of its tasks that are to be done again. */
async function chooseTasks(session: Session, wanted: RunRecord, onlyFailed: boolean): Promise<RunRecord> {
  const { runId, task } = parseTaskId(wanted.runId);
  const record = task === undefined ? wanted : await session.records.load(runId);
  if (!record) throw new Error(`no record of ${runId}`);
  const only = (indices: number[]): RunRecord => {
    const { sweep } = record;
    return sweep ? { ...record, sweep: { ...sweep, tasks: indices.map((index) => sweep.tasks[index] ?? []) } } : record;
  };
  if (!onlyFailed) return task === undefined ? record : only([task]);
  const { run } = await queryRun(session, wanted);
  const candidates = run.tasks ?? [{ index: task ?? 0, state: run.state }];
  const failed = candidates.filter(({ state }) => isEnded(state) && state !== 'COMPLETED').map(({ index }) => index);
  if (failed.length > 0) return only(failed);
  throw new HpcrunError('USAGE', `nothing of run ${wanted.runId} has failed so far: ${run.state}`, {
    hint: `hpcrun status ${wanted.runId}; without --failed, all of it is done again.`,
  });
}

function renewRecord(original: RunRecord, request: RerunRequest, project: Project | undefined): RunRecord {
  const isFromHere = original.origin.host === hostname();
  return {
    ...original,
    runId: makeRunId(new Date()),
    name: request.name ?? original.name,
    createdAt: new Date().toISOString(),
    hpcrunVersion: packageVersion(),
    // Results go where those of the original would.
    origin: isFromHere ? original.origin : { host: hostname(), projectDirectory: project?.directory ?? process.cwd() },
    variables: [...new Set([...original.variables, ...Object.keys(request.variables)])],
    resources: mergeResources(original.resources, request.resources),
    rerunOf: original.runId,
    jobId: null,
  };
}

/** Where the run's directory has gone, and its variables' values with it, those of the project and of the environment are taken. */
async function submitWithVariables(
  session: Session,
  layout: RemoteLayout,
  submission: Submission,
  project: Project | undefined,
): Promise<Extract<SubmissionResult, { kind: 'submitted' }>> {
  const { record } = submission;
  const submit = async (variables: Record<string, string>) =>
    requireSubmitted(session, record, await submitOnce(session, layout, { ...submission, variables }, undefined));
  try {
    return await submit(submission.variables);
  } catch (error) {
    if (!(error instanceof HpcrunError) || error.code !== 'VARIABLE_MISSING') throw error;
    const found = record.variables.flatMap((name) => {
      const value = project?.config.env[name] ?? session.inputs.env[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    const known = { ...Object.fromEntries(found), ...submission.variables };
    if (record.variables.some((name) => !Object.hasOwn(known, name))) {
      const missing = record.variables.filter((name) => !Object.hasOwn(known, name));
      throw new HpcrunError(
        'VARIABLE_MISSING',
        `the values of ${missing.join(', ')} went with the directory of run ${submission.repeats ?? ''}`,
        { hint: 'Give them again: -e NAME=value, or -e NAME for your own.', cause: error },
      );
    }
    if (!record.image.isNative) throw error;
    return await submit({ ...proxyVariables(session.cluster), ...known });
  }
}

function requireSubmitted(
  { cluster }: Session,
  { rerunOf = '', image, code }: RunRecord,
  result: SubmissionResult,
): Extract<SubmissionResult, { kind: 'submitted' }> {
  if (result.kind === 'submitted') return result;
  const hint = 'A clean-up has taken it; "hpcrun submit" in the project sends it anew.';
  throw result.image.length > 0
    ? new HpcrunError(
        'IMAGE_NOT_STORED',
        `the image of run ${rerunOf}, ${image.sha256}, is not on ${cluster.name} any more`,
        { hint },
      )
    : new HpcrunError(
        'RUN_NOT_FOUND',
        `the code of run ${rerunOf}, ${code.treeHash}, is not on ${cluster.name} any more`,
        { hint },
      );
}

/** The record goes before the job, so that a job is never lost from sight; it stays unless the answer is a clear no. */
async function keepingRecord<T>({ records }: Session, record: RunRecord, submit: () => Promise<T>): Promise<T> {
  await records.save(record);
  try {
    return await submit();
  } catch (error) {
    const isOpen = !(error instanceof HpcrunError) || ['SUBMISSION_UNCERTAIN', 'INTERRUPTED'].includes(error.code);
    if (!isOpen) await records.remove(record.runId);
    throw error;
  }
}
