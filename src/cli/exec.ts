import type { Readable } from 'node:stream';
import { HpcrunError } from '../errors.js';
import { findRun } from '../run/find-run.js';
import { ControlledInput } from '../run/inside/controlled-input.js';
import { execInRun } from '../run/inside/exec.js';
import { makeContext, withSession, type CommonOptions } from './context.js';
import { localTerminal } from './local-terminal.js';
import { writeAll } from './output.js';

export interface ExecOptions extends CommonOptions {
  interactive?: boolean;
  tty?: boolean;
}

/** `hpcrun exec`. Both outputs are the command's own, byte for byte, and so is the exit status. */
export async function execCommand(wanted: string, words: string[], given: ExecOptions): Promise<number> {
  const { command, options } = takeOptions(words, given);
  if (options.tty && !(process.stdin.isTTY && process.stdout.isTTY)) {
    throw new HpcrunError('USAGE', '-t needs a terminal, and standard input or output is none', {
      hint: 'For pipes and files, use -i alone.',
    });
  }
  // Ctrl-C is the command's, once it runs.
  const context = makeContext(options, ['SIGTERM', 'SIGHUP']);
  return await withSession(context, options, async (session, project) => {
    const record = await findRun(session, wanted, project?.directory);
    const outputs = { onStdout: writeAll(process.stdout), onStderr: writeAll(process.stderr) };
    const own = options.interactive ? process.stdin : undefined;
    if (options.tty) {
      await session.connect();
      const terminal = localTerminal(process.stdin, process.stdout, context.env);
      try {
        return await execInRun(session, record, command, { ...outputs, ...terminal });
      } finally {
        terminal.restore();
      }
    }
    // Until then, Ctrl-C ends hpcrun.
    await session.connect();
    const stdin = new ControlledInput(own);
    const onInterrupt = () => {
      stdin.signal('INT');
    };
    process.on('SIGINT', onInterrupt);
    try {
      return await execInRun(session, record, command, { ...outputs, stdin });
    } finally {
      process.off('SIGINT', onInterrupt);
      (own as Readable | undefined)?.destroy();
    }
  });
}

/** As in `docker exec`, options go before the run; -i and -t may also stand behind it, before the command. */
function takeOptions(words: string[], options: ExecOptions): { command: string[]; options: ExecOptions } {
  const [word, ...rest] = words;
  if (word === '--') return { command: rest, options };
  if (word === undefined || !/^(?:-[it]+|--interactive|--tty)$/.test(word)) return { command: words, options };
  const interactive = options.interactive === true || word === '--interactive' || /^-t*i/.test(word);
  const tty = options.tty === true || word === '--tty' || /^-i*t/.test(word);
  return takeOptions(rest, { ...options, interactive, tty });
}
