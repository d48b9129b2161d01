import type { Readable } from 'node:stream';
import { RemoteLayout } from '../../cluster/layout.js';
import { HpcrunError } from '../../errors.js';
import type { TerminalRequest } from '../../ssh/connection.js';
import { isEnded } from '../../slurm/states.js';
import type { RunRecord } from '../record.js';
import type { Session } from '../session.js';
import { queryRun } from '../status.js';
import { parseTaskId } from '../sweep/task-record.js';
import { notRunningStatus, renderExec } from './exec-script.js';

export interface ExecIo {
  /** Of a terminal, what is typed; else what `ControlledInput` sends. */
  stdin: Readable;
  onStdout: (chunk: Buffer) => void | Promise<void>;
  onStderr: (chunk: Buffer) => void | Promise<void>;
  terminal?: TerminalRequest | undefined;
  /** Whether the job lasts as long as the command: that of `hpcrun shell`. */
  holds?: boolean;
}

/**
 * Runs a command in a container like that of a run's job, on its first node, and returns its exit status. Throws RUN_NOT_RUNNING,
 * and what a connection throws.
 */
export async function execInRun(session: Session, record: RunRecord, command: string[], io: ExecIo): Promise<number> {
  requireEnterable(record);
  const run = new RemoteLayout(record.root, record.store).run(record.runId);
  const connection = await session.connect();
  const { exitCode } = await connection.stream(
    renderExec({ run, command, terminal: io.terminal?.type, holds: io.holds }),
    {
      ...io,
      signal: session.signal,
    },
  );
  if (exitCode === notRunningStatus) await explainNotRunning(session, record);
  return exitCode;
}

/** Throws USAGE for sweeps and their tasks, whose jobs cannot be entered. */
export function requireEnterable({ runId, sweep }: RunRecord): void {
  if (!sweep && parseTaskId(runId).task === undefined) return;
  throw new HpcrunError('USAGE', `run ${runId} is of a sweep, whose tasks cannot be entered`, {
    hint: 'Submit one of them alone, with its parameters as arguments, and enter that.',
  });
}

/** Throws RUN_NOT_RUNNING if that is so: the status may be the command's own. */
export async function explainNotRunning(session: Session, record: RunRecord): Promise<void> {
  const { run } = await queryRun(session, record);
  // Then it was the command's own status, or the job had no node just then.
  if (run.state === 'RUNNING') return;
  const reason = run.reason === undefined ? '' : ` (${run.reason})`;
  throw new HpcrunError('RUN_NOT_RUNNING', `run ${record.runId} is not running: it is ${run.state}${reason}`, {
    hint: isEnded(run.state)
      ? `Submit it again, or look at what it left: hpcrun logs ${record.runId}`
      : `Try again when it runs: hpcrun status ${record.runId}`,
  });
}
