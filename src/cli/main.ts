import { HpcrunError, interrupted, messageOf } from '../errors.js';
import { packageVersion } from '../package-directory.js';
import { printable } from '../ssh/terminal-text.js';

/** Runs one command line and returns the exit status. Commands are loaded when they are used, so that starting is quick. */
export async function main(argv: string[]): Promise<number> {
  // A reader that has gone away (`hpcrun status | head -1`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  try {
    const { runProgram } = await import('./program.js');
    return await runProgram(argv);
  } catch (error) {
    // Node's own waits end with an AbortError when the user interrupts.
    const shown = error instanceof Error && error.name === 'AbortError' ? interrupted() : error;
    printError(shown, argv.includes('--json'));
    return shown instanceof HpcrunError ? shown.exitStatus : 1;
  }
}

function printError(error: unknown, asJson: boolean): void {
  if (error instanceof HpcrunError) {
    const { code, hint } = error;
    const message = printable(error.message);
    if (asJson) printJsonError({ code, message, hint: hint ?? null });
    else process.stderr.write(`hpcrun: ${message}\n${hint === undefined ? '' : `  → ${hint}\n`}  [${code}]\n`);
    return;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const hint = 'This is a bug in hpcrun. Please report it with the lines above and what you did.';
  if (asJson) printJsonError({ code: 'BUG', message: messageOf(error), hint });
  else process.stderr.write(`${stack}\n\nhpcrun ${packageVersion()}: ${hint}\n`);
}

function printJsonError(error: { code: string; message: string; hint: string | null }): void {
  process.stderr.write(`${JSON.stringify({ type: 'error', ...error })}\n`);
}
