import { RemoteLayout } from '../../cluster/layout.js';
import { quote } from '../../ssh/quote.js';
import { remoteFailure, scriptPrelude } from '../../ssh/remote-script.js';
import { printable } from '../../ssh/terminal-text.js';
import type { RunRecord } from '../record.js';
import type { Session } from '../session.js';
import { describeParameters } from './sweep.js';

/** Writes what the tasks of a sweep have printed so far, one after the other, each under its number and parameters. */
export async function printTaskLogs(
  session: Session,
  record: RunRecord,
  onOutput: (chunk: Buffer) => void | Promise<void>,
): Promise<void> {
  const { sweep } = record;
  if (!sweep) throw new Error(`${record.runId} is no sweep`);
  const { directory } = new RemoteLayout(record.root, record.store).run(record.runId);
  const heads = sweep.tasks.map((_, index) => {
    const text = printable(describeParameters(sweep, index)).replaceAll('\n', '\\n');
    return `==> ${record.runId}.${index} ${text} <==\n`;
  });
  const connection = await session.connect();
  // The heads come in, one for each task, on lines of their own.
  const script = `${scriptPrelude}cd ${quote(`${directory}/tasks`)} || exit 4
index=0
while IFS= read -r head; do
  if [ -s "$index/logs/job.log" ]; then
    printf '%s\\n' "$head"
    cat "$index/logs/job.log"
    [ -z "$(tail -c 1 "$index/logs/job.log")" ] || echo
  fi
  index=$((index + 1))
done
`;
  const result = await connection.stream(script, {
    stdin: Buffer.from(heads.join('')),
    signal: session.signal,
    onStdout: onOutput,
  });
  if (result.exitCode !== 0) throw remoteFailure(connection, 'reading the logs', result);
}
