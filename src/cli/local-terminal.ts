import { spawnSync } from 'node:child_process';
import type { ReadStream, WriteStream } from 'node:tty';
import type { TerminalRequest, TerminalSize } from '../ssh/connection.js';

/** The terminal this process runs in, for something that runs elsewhere. */
export interface LocalTerminal {
  stdin: ReadStream;
  terminal: TerminalRequest;
  /** Makes it again what it was. */
  restore(): void;
}

/** Gives all that is typed, Ctrl-C too, and every change of size, to what runs elsewhere. */
export function localTerminal(stdin: ReadStream, stdout: WriteStream, env: NodeJS.ProcessEnv): LocalTerminal {
  stdin.setRawMode(true);
  // Node's raw mode still makes CR LF of each LF, which the far side has done. Without stty, lines end in two CRs: nobody sees that.
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] });
  const size = (): TerminalSize => ({ columns: stdout.columns, rows: stdout.rows });
  const onResize = (resize: (size: TerminalSize) => void) => {
    const tell = () => {
      resize(size());
    };
    stdout.on('resize', tell);
    return () => {
      stdout.off('resize', tell);
    };
  };
  // Names that terminfo has; anything else is not worth its risk over there.
  const type = /^[\w.+-]{1,64}$/.test(env.TERM ?? '') ? (env.TERM ?? '') : 'dumb';
  return {
    stdin,
    terminal: { type, size: size(), onResize },
    restore: () => {
      stdin.setRawMode(false);
      stdin.destroy();
    },
  };
}
