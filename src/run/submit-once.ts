import { randomBytes } from 'node:crypto';
import type { RemoteLayout } from '../cluster/layout.js';
import type { Delivery } from '../cluster/pack-snapshot.js';
import { HpcrunError } from '../errors.js';
import { isLoss, reconnect } from './reconnect.js';
import type { Session } from './session.js';
import { settleSubmission, type Settlement } from './settle-submission.js';
import { submitToCluster, type Submission, type SubmissionResult } from './submission.js';

const attempts = 3;
/** Each waits for up to half a minute. */
const questions = 12;

/**
 * Hands a run over to the cluster, and where the answer is lost finds out what became of it before anything is tried again: the
 * result is one job, or none and an error. Throws as submitToCluster; SUBMISSION_UNCERTAIN if it could not be found out.
 */
export async function submitOnce(
  session: Session,
  layout: RemoteLayout,
  submission: Submission,
  code: Delivery | undefined,
): Promise<SubmissionResult> {
  const { signal, progress, cluster } = session;
  for (let left = attempts - 1; ; left -= 1) {
    const attempt = randomBytes(4).toString('hex');
    try {
      return await submitToCluster(await session.connect(), layout, submission, { code, attempt, signal });
    } catch (error) {
      if (!(error instanceof HpcrunError) || error.code !== 'SUBMISSION_UNCERTAIN' || !isLoss(error.cause)) throw error;
      progress.note(`The answer of ${cluster.name} was lost (${error.cause.message}). Looking for the job …`);
      const found = await settle(session, layout, submission, { attempt, uncertain: error, lost: error.cause });
      if (found.kind === 'submitted') return found;
      if (left === 0) throw error.cause;
      progress.note('Nothing was submitted. Trying again …');
    }
  }
}

async function settle(
  session: Session,
  layout: RemoteLayout,
  { record }: Submission,
  { attempt, uncertain, lost }: { attempt: string; uncertain: HpcrunError; lost: HpcrunError },
): Promise<Exclude<Settlement, { kind: 'open' }>> {
  let isLost = lost.code !== 'REMOTE_TIMEOUT';
  let why = lost.message;
  for (let asked = 0; asked < questions; asked += 1) {
    try {
      // Whoever submits is there to be asked, if a login needs that.
      const connection = isLost ? await reconnect(session, { unattended: false }) : await session.connect();
      isLost = false;
      const settlement = await settleSubmission(connection, layout, record, attempt, session.signal);
      if (settlement.kind !== 'open') return settlement;
      ({ why } = settlement);
    } catch (error) {
      if (!(error instanceof HpcrunError) || error.code === 'INTERRUPTED') throw withRun(error, uncertain);
      why = error.message;
      if (!isLoss(error)) break;
      isLost = true;
    }
  }
  throw new HpcrunError('SUBMISSION_UNCERTAIN', `the job of run ${record.runId} may have been submitted: ${why}`, {
    ...(uncertain.hint === undefined ? {} : { hint: uncertain.hint }),
    cause: uncertain,
  });
}

/** Ctrl-C, while nobody knows whether there is a job: the hint says how to find out. */
function withRun(error: unknown, { message, hint }: HpcrunError): unknown {
  if (!(error instanceof HpcrunError)) return error;
  return new HpcrunError(error.code, message, { ...(hint === undefined ? {} : { hint }), cause: error });
}
