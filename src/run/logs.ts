import { PassThrough } from 'node:stream';
import { RemoteLayout } from '../cluster/layout.js';
import { isEnded } from '../slurm/states.js';
import { quote } from '../ssh/quote.js';
import { remoteFailure, scriptPrelude } from '../ssh/remote-script.js';
import { describeWhy } from './describe-why.js';
import { endedStatus, renderFollow, shorterStatus, type LogWait } from './follow-script.js';
import type { RunRecord } from './record.js';
import { persistently } from './reconnect.js';
import type { Session } from './session.js';
import { queryRun, type RunStatus } from './status.js';
import { waitForRun } from './wait.js';

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
  const why = describeWhy(run, Date.now());
  return why === undefined ? run.state : `${run.state} (${why})`;
}

/**
 * Writes a run's output as it grows and returns when the run has ended and all of it has been written. What is on the far
 * side takes turns, the log and the questions to SLURM, because a server may allow one session only. A connection that is lost is made anew,
 * and the log goes on at the byte where it was.
 */
export async function followLog(
  session: Session,
  record: RunRecord,
  onOutput: Output,
  onChange: (run: RunStatus) => void,
): Promise<RunStatus> {
  const { log, sentinel } = new RemoteLayout(record.root).run(record.runId);
  let writtenBytes = 0;
  const read = async (wait: LogWait): Promise<'ended' | 'open' | 'anew'> => {
    const connection = await session.connect();
    // Its input closes when nobody follows any more.
    const held = new PassThrough();
    try {
      const { exitCode, stderr } = await connection.stream(renderFollow(log, writtenBytes, wait), {
        stdin: held,
        signal: session.signal,
        onStdout: async (chunk) => {
          await onOutput(chunk);
          writtenBytes += chunk.length;
        },
      });
      switch (exitCode) {
        case 0:
          return 'open';
        case endedStatus:
          return 'ended';
        case shorterStatus:
          writtenBytes = 0;
          return 'anew';
        default:
          throw remoteFailure(connection, 'following the log', { exitCode, stderr });
      }
    } finally {
      held.end();
    }
  };
  const run = await waitForRun(session, record, onChange, async ({ expectsEnd }) => {
    const wait = { seconds: session.cluster.pollSeconds, sentinel: expectsEnd ? sentinel : undefined };
    return (await read(wait)) === 'ended';
  });
  while ((await persistently(session, () => read({ seconds: 0, sentinel: undefined }))) === 'anew');
  return run;
}
