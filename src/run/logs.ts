import { RemoteLayout } from '../cluster/layout.js';
import { isEnded } from '../slurm/states.js';
import { quote } from '../ssh/quote.js';
import { remoteFailure, runRemote, scriptPrelude } from '../ssh/remote-script.js';
import type { RunRecord } from './record.js';
import type { Session } from './session.js';
import { queryRun, type RunStatus } from './status.js';
import { waitForRun } from './wait.js';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

const lagMs = 30_000;

type Output = (chunk: Buffer) => void | Promise<void>;

/** Writes a run's output so far; says why if there is none. */
export async function printLog(session: Session, record: RunRecord, onOutput: Output): Promise<void> {
  const { log } = new RemoteLayout(record.root).run(record.runId);
  const connection = await session.connect();
  const script = `${scriptPrelude}[ -e ${quote(log)} ] || exit 4\ncat ${quote(log)}\n`;
  const result = await connection.stream(script, { signal: session.signal, onStdout: onOutput });
  if (result.exitCode === 0) return;
  if (result.exitCode !== 4) throw remoteFailure(connection, 'reading the log', result);
  const { run } = await queryRun(session, record);
  session.progress.note(
    isEnded(run.state)
      ? `Run ${record.runId} ended before it wrote anything: ${describeState(run)}.`
      : `Run ${record.runId} has written nothing yet; it is ${describeState(run)}. Follow it from its start: hpcrun logs -f ${record.runId}`,
  );
}

function describeState(run: RunStatus): string {
  return run.reason === undefined ? run.state : `${run.state} (${run.reason})`;
}

/**
 * Writes a run's output as it grows and returns when the run has ended and all of it has been written. One `tail` on the
 * far side does it; closing its input ends it, so that none stays behind.
 */
export async function followLog(
  session: Session,
  record: RunRecord,
  onOutput: Output,
  onChange: (run: RunStatus) => void,
): Promise<RunStatus> {
  const { log } = new RemoteLayout(record.root).run(record.runId);
  const connection = await session.connect();
  const held = new PassThrough();
  let writtenBytes = 0;
  let wake: () => void = () => undefined;
  const tail = connection.stream(renderTail(log), {
    stdin: held,
    signal: session.signal,
    onStdout: async (chunk) => {
      await onOutput(chunk);
      writtenBytes += chunk.length;
      wake();
    },
  });
  try {
    const run = await Promise.race([waitForRun(session, record, onChange), failOf(tail)]);
    const size = await logSize(session, log);
    const caughtUp = new Promise<void>((resolve) => {
      wake = () => {
        if (writtenBytes >= size) resolve();
      };
      wake();
    });
    // A log on a slow file system may lag behind; one that never comes must not hold the user.
    const patience = new AbortController();
    const tooLate = sleep(lagMs, 'too late', { signal: patience.signal });
    const outcome = await Promise.race([caughtUp, failOf(tail), tooLate]).finally(() => {
      patience.abort();
    });
    if (outcome === 'too late') {
      session.progress.warn(`The end of the output has not come within ${lagMs / 1000} s: hpcrun logs ${record.runId}`);
    }
    return run;
  } finally {
    held.end();
    await Promise.allSettled([tail]);
  }
}

// `tail -F` waits for a file that is not there yet and starts anew when one is replaced.
function renderTail(log: string): string {
  return `tail -n +1 -F ${quote(log)} 2>/dev/null &
tail=$!
trap 'kill "$tail" 2>/dev/null' EXIT
cat >/dev/null
`;
}

async function logSize(session: Session, log: string): Promise<number> {
  const script = `wc -c <${quote(log)} 2>/dev/null || echo 0\n`;
  const { stdout } = await runRemote(await session.connect(), 'reading the log', script, { signal: session.signal });
  return Number(stdout.toString('utf8').trim());
}

/** Never settles unless the promise fails. */
async function failOf(promise: Promise<unknown>): Promise<never> {
  await promise;
  return await new Promise<never>(() => undefined);
}
