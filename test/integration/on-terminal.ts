import { PassThrough } from 'node:stream';
import type { Connection, TerminalSize } from '../../src/ssh/connection.js';

/** Runs a script on a terminal of the connection's, answers what it asks and changes the size once; what a person would have seen. */
export async function onTerminal(connection: Connection): Promise<{ heard: string; exitCode: number }> {
  const script = `echo "TERM=$TERM"; echo err >&2; test -t 0 && test -t 1 && test -t 2 && stty size; size=$(stty size); echo ready
while [ "$(stty size)" = "$size" ]; do sleep 0.1; done; stty size; read -r word; echo "$word"; exit 5`;
  const stdin = new PassThrough();
  let heard = '';
  let resize: ((size: TerminalSize) => void) | undefined;
  const { exitCode } = await connection.stream(script, {
    signal: new AbortController().signal,
    stdin,
    onStdout: (chunk) => {
      const before = heard;
      heard += chunk.toString();
      const comes = (words: string) => heard.includes(words) && !before.includes(words);
      if (comes('ready\n')) resize?.({ columns: 33, rows: 11 });
      if (comes('11 33\n')) stdin.write('last\n');
    },
    terminal: {
      type: 'vt100',
      size: { columns: 100, rows: 40 },
      onResize: (listener) => {
        resize = listener;
        return () => undefined;
      },
    },
  });
  return { heard, exitCode };
}
