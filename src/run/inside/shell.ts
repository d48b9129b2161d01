import { messageOf } from '../../errors.js';
import { quote } from '../../ssh/quote.js';
import { runRemote } from '../../ssh/remote-script.js';
import { isEnded } from '../../slurm/states.js';
import type { Plan } from '../plan.js';
import type { RunRecord } from '../record.js';
import type { Session } from '../session.js';
import type { RunStatus } from '../status.js';
import { submitRun } from '../submit.js';
import { awaitStart } from './await-start.js';
import { execInRun, explainNotRunning, type ExecIo } from './exec.js';

const cancelMs = 30_000;

/** A shell of the image's, the best there is. */
export const anyShell = ['/bin/sh', '-c', 'if command -v bash >/dev/null; then exec bash; fi; exec sh'];

/**
 * Submits a job that holds an allocation, waits for it, runs a command in its container and returns the command's status. The job ends
 * with the command; if it does not come to that, it is cancelled.
 * @param plan with the template `shell`
 * @param attend called when the job runs; gives what the command is connected with
 */
export async function runShell(
  session: Session,
  plan: Plan,
  command: string[],
  { onChange, attend }: { onChange: (run: RunStatus) => void; attend: (record: RunRecord) => ExecIo },
): Promise<{ record: RunRecord; exitCode: number }> {
  const { record } = await submitRun(session, plan);
  let hasRun = false;
  try {
    const run = await awaitStart(session, record, onChange);
    if (isEnded(run.state)) await explainNotRunning(session, record);
    const exitCode = await execInRun(session, record, command, { ...attend(record), holds: true });
    hasRun = true;
    return { record, exitCode };
  } finally {
    // Also after Ctrl-C. What went wrong before is what is to be seen first, so this is only a warning.
    if (!hasRun) {
      await cancel(session, record).catch((error: unknown) => {
        session.progress.warn(
          `Job ${record.jobId ?? ''} could not be cancelled (${messageOf(error)}); it ends by itself when nobody has come for two minutes.`,
        );
      });
    }
  }
}

async function cancel(session: Session, { jobId }: RunRecord): Promise<void> {
  if (jobId === null) return;
  const connection = await session.connect();
  await runRemote(connection, 'cancelling', `find_slurm\nscancel ${quote(jobId)} </dev/null\n`, {
    signal: AbortSignal.timeout(cancelMs),
  });
}
