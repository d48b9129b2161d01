import { Command, CommanderError } from 'commander';
import { HpcrunError } from '../errors.js';
import { packageVersion } from '../package-directory.js';
import { defineConnection } from './commands/connection.js';
import { defineFirstSteps } from './commands/first-steps.js';
import { defineImages } from './commands/images.js';
import { defineInside } from './commands/inside.js';
import { defineRun } from './commands/run.js';
import { defineRerun } from './commands/rerun.js';
import { defineRuns } from './commands/runs.js';
import { defineSandbox } from './commands/sandbox.js';
import { helpOrUnknown, withExamples, type SetStatus } from './commands/shared.js';
import { defineSubmit } from './commands/submit.js';
import { defineTemplate } from './commands/template.js';

/** Parses the command line, runs its command, and returns the exit status. */
export async function runProgram(argv: string[]): Promise<number> {
  let status = 0;
  const program = defineProgram(argv, (code) => {
    status = code;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // --help and --version have been printed and are no errors.
    if (error.exitCode === 0) return 0;
    const [message = '', ...rest] = error.message
      .replace(/^error: /, '')
      .replace(/\((Did you mean .*)\)/, '$1')
      .split('\n');
    throw new HpcrunError('USAGE', message, {
      hint: rest.join(' ').trim() || 'hpcrun --help, or hpcrun COMMAND --help',
    });
  }
  return status;
}
function defineProgram(argv: string[], setStatus: SetStatus): Command {
  const program = new Command('hpcrun')
    .description('Runs your Dockerfile and your script on a SLURM cluster that only knows Apptainer.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
  helpOrUnknown(program, setStatus);
  withExamples(
    program,
    ['hpcrun sandbox up', 'a real SLURM cluster in containers, to try things on'],
    ['hpcrun submit --gpus 1 train.py', 'build, convert, copy and submit, in one go'],
    ['hpcrun status', 'what your runs are doing'],
    ['hpcrun pull-results', 'bring back what the last run wrote'],
  );

  // In the order of the help.
  defineSubmit(program, argv, setStatus);
  defineRun(program, argv, setStatus);
  defineRuns(program, setStatus);
  defineRerun(program, setStatus);
  defineInside(program, setStatus);
  defineFirstSteps(program, setStatus);
  defineConnection(program, setStatus);
  defineImages(program, setStatus);
  defineTemplate(program.command('template'), setStatus);
  defineSandbox(program.command('sandbox'), setStatus);
  return program;
}
