import { RemoteLayout } from '../cluster/layout.js';
import type { ClusterFacts } from '../cluster/probe.js';
import { takeSnapshot, type Snapshot } from '../cluster/snapshot.js';
import { HpcrunError } from '../errors.js';
import { splitEnvironment } from '../image/container-metadata.js';
import type { ImageInfo } from '../image/engine.js';
import { withStep } from '../progress.js';
import { renderJobScript } from '../slurm/job-script.js';
import { RateLimit } from '../transfer/rate-limit.js';
import { readChanges } from './changes.js';
import { CodeDelivery } from './code-delivery.js';
import { renderRunRecord, renderScriptInput } from './describe-run.js';
import { readGitState } from './git-state.js';
import { beginBuild } from './obtain-image.js';
import type { Plan } from './plan.js';
import { prepareImage, type PreparedImage } from './prepare-image.js';
import { checkSnapshot } from './project-snapshot.js';
import type { RunRecord } from './record.js';
import { makeRunId } from './run-id.js';
import { sendPart } from './send-image.js';
import type { Session } from './session.js';
import { showChoices } from './show-choices.js';
import { proxyVariables, requireOnNodes } from './site-request.js';
import type { SubmissionResult } from './submission.js';
import { submitOnce } from './submit-once.js';

/** Which steps had to be done; false where what was there could be used. */
export interface StepsDone {
  built: boolean;
  converted: boolean;
  uploaded: boolean;
}

export interface SubmittedRun extends StepsDone {
  record: RunRecord;
  jobId: string;
  /** How many tasks of a sweep SLURM has taken so far. */
  tasks: number;
}

/**
 * The whole way: build, convert, upload, snapshot, sbatch. The login comes first, because a cluster that cannot be
 * reached should be known before an image is built for it.
 */
export async function submitRun(session: Session, plan: Plan): Promise<SubmittedRun> {
  // While the cluster answers, this machine may; what goes wrong here is said when its turn has come.
  if (plan.image.kind !== 'sif') session.engine().catch(() => undefined);
  const git = later(readGitState(plan.project.directory));
  const facts = await session.facts([...remotePaths(plan), ...(session.cluster.notOnComputeNodes ?? [])]);
  const { image, snapshot } = await prepareWhileConnecting(session, plan, facts);

  const record = renderRunRecord(session, plan, {
    facts,
    image,
    snapshot,
    git: await git,
    runId: makeRunId(new Date()),
  });
  requireOnNodes(session.cluster, record.binds, facts);
  const jobScript = renderJobScript(plan.template, renderScriptInput(session, record, image.probesContainers));
  const variables = {
    ...proxyVariables(session.cluster),
    ...(image.isNative ? {} : imageVariables(image.info)),
    ...plan.variables,
  };
  const changes = record.code.git?.isDirty ? await readChanges(snapshot) : undefined;
  const submission = { record, jobScript, variables, snapshot, changes, storeGroup: session.cluster.store?.group };
  const code = await CodeDelivery.plan(session, facts.root, snapshot);
  const { jobId, tasks, uploaded } = await withUploads(session, { image, record, code }, async () => {
    // The record goes before the job, so that a job is never lost from sight; it stays unless the answer is a clear no.
    await session.records.save(record);
    let isKept = false;
    try {
      const layout = new RemoteLayout(facts.root, facts.store);
      const result = await submitOnce(session, layout, submission, code.next);
      isKept = result.kind === 'submitted';
      return result;
    } catch (error) {
      isKept = !(error instanceof HpcrunError) || ['SUBMISSION_UNCERTAIN', 'INTERRUPTED'].includes(error.code);
      throw await showChoices(session, error, plan.resources, facts.root);
    } finally {
      if (!isKept) await session.records.remove(record.runId);
    }
  });
  const submitted = { ...record, jobId };
  await session.records.save(submitted);
  await code.confirm();
  return { record: submitted, jobId, tasks, built: image.built, converted: image.converted, uploaded };
}

/** Everything that this machine has to do, begun while the cluster answers. */
async function prepareWhileConnecting(
  session: Session,
  plan: Plan,
  facts: ClusterFacts,
): Promise<{ image: PreparedImage; snapshot: Snapshot }> {
  const connecting = later(session.connect());
  const taking = later(takeSnapshot(plan.project.directory));
  const early = beginBuild(session, plan, facts);
  try {
    await withStep(
      session.progress,
      `Connecting to ${session.cluster.name}`,
      () => connecting,
      (opened) => `Connected to ${session.cluster.name} (${opened.description})`,
    );
    const snapshot = checkSnapshot(session.progress, plan, await taking);
    return { snapshot, image: await prepareImage(session, plan, facts, early) };
  } catch (error) {
    early.abandon();
    throw error;
  }
}

/** Something that is awaited when its turn has come: until then, its failure is no unhandled one. */
function later<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** ENV, for an image whose SIF does not hold it as it is. */
function imageVariables(info: ImageInfo): Record<string, string> {
  return Object.fromEntries(splitEnvironment(info).shell);
}

function remotePaths(plan: Plan): string[] {
  return plan.binds.map(({ source }) => source);
}

/** What is said once sbatch has answered. */
export function describeSubmitted(
  { cluster }: Session,
  { runId, sweep }: RunRecord,
  { jobId, tasks = sweep?.tasks.length ?? 0 }: { jobId: string; tasks?: number | undefined },
): string {
  if (!sweep) return `Submitted run ${runId} as job ${jobId} on ${cluster.name}`;
  const count = sweep.tasks.length;
  const rest =
    tasks === count ? '' : `; SLURM takes no more now, the others follow when you ask for its status or wait for it`;
  return `Submitted run ${runId} with ${tasks === count ? count : `${tasks} of ${count}`} tasks as job ${jobId} on ${cluster.name}${rest}`;
}

/** Submits; if the cluster lacks the image or the code, sends what is missing and submits again. */
async function withUploads(
  session: Session,
  { image, record, code }: { image: PreparedImage; record: RunRecord; code: CodeDelivery },
  submit: () => Promise<SubmissionResult>,
): Promise<{ jobId: string; tasks: number; uploaded: boolean }> {
  const limit = new RateLimit(session.inputs.bytesPerSecond);
  let uploaded = false;
  for (let attempt = 0; attempt < 4; attempt += 1) {
    const result = await withStep(session.progress, 'Submitting', submit, (done) =>
      done.kind === 'submitted'
        ? describeSubmitted(session, record, done)
        : `${session.cluster.name} does not have ${done.image.length > 0 ? 'this image' : 'this code'} yet`,
    );
    if (result.kind === 'submitted')
      return { jobId: result.jobId, tasks: result.tasks ?? record.sweep?.tasks.length ?? 0, uploaded };
    if (result.code) {
      const { noLinks } = result;
      const layout = new RemoteLayout(record.root, record.store);
      await code.replan(await session.connect(), layout, { noLinks, signal: session.signal });
    }
    for (const [index, part] of image.parts.entries()) {
      if (!result.image.includes(part.sha256)) continue;
      if (part.path === undefined) await image.forget?.();
      const layout = new RemoteLayout(record.root, record.store);
      await sendPart(session, await session.connect(), {
        part,
        isOverlay: index > 0,
        name: record.image.tag,
        layout,
        limit,
      });
      uploaded = true;
    }
  }
  throw new HpcrunError(
    'TRANSFER_FAILED',
    `the image ${record.image.sha256} or the project's code was copied to ${session.cluster.name} and is not there`,
    {
      hint: 'Is something cleaning up there? Look at the cluster\'s scratch policy, or set another "root:".',
    },
  );
}
