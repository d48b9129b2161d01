import type { Command } from 'commander';
import { collect, onCluster, runArgument, withExamples, type SetStatus } from './shared.js';

/** `hpcrun rerun`. */
export function defineRerun(program: Command, setStatus: SetStatus): void {
  withExamples(
    onCluster(program.command('rerun'))
      .summary('do the same again')
      .description(
        'Submits a run again from its record: the same image, code, arguments, parameters, variables and resources, as far as no ' +
          'option says otherwise. Needs neither Docker nor the project. Of a sweep, all tasks or those that failed, or one: RUN.3.',
      )
      .argument('[run]', runArgument, '@last')
      .option('--failed', 'only what has failed: of a sweep, those tasks')
      .option('--wait', "show the job's output, wait for its end and exit with its status")
      .option('--name <name>', "the run's name (default: as before)")
      .option('-e, --env <name[=value]>', 'give a variable another value (repeatable)', collect)
      .option('--env-file <file>', 'the same, a name=value a line (repeatable)', collect)
      .option('--gpus <[type:]n>', 'other GPUs')
      .option('--cpus <n>', 'other CPU cores')
      .option('--memory <size>', 'another amount of memory')
      .option('--time <limit>', 'another time limit')
      .option('--partition <name>', 'another partition')
      .option('--account <name>', 'another account')
      .option('--exclude <nodes>', 'not on these nodes')
      .option('--sbatch-arg <option>', 'any other option of sbatch (repeatable)', collect)
      .action(async (run: string, options: import('../rerun.js').RerunOptions) => {
        const { rerunCommand } = await import('../rerun.js');
        setStatus(await rerunCommand(run, options));
      }),
    ['hpcrun rerun', 'the last run again'],
    ['hpcrun rerun --failed --memory 64G sweep', 'what failed of the sweep, with more memory'],
    ['hpcrun rerun 20261125-101500-k3f9.17', 'one task of a sweep'],
  );
}
