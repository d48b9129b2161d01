import type { Command } from 'commander';
import { collect, onCluster, runArgument, withExamples, type SetStatus } from './shared.js';

/** Commands on runs there are: their state, output and results. */
export function defineRuns(program: Command, setStatus: SetStatus): void {
  withExamples(
    onCluster(program.command('status'))
      .summary('what your runs are doing')
      .description(
        "Shows your runs on the cluster, the newest first, with SLURM's own words for their states, why a job waits and when it is expected to start.",
      )
      .argument('[runs...]', `only these: ${runArgument}`)
      .option('-n, --last <n>', 'only the n newest (default: 20 in the table, all with --json)')
      .option('--state <states>', "only those in these of SLURM's states, such as running,pending")
      .option('--all', 'those on all clusters; one that does not answer is named, and its status passed on')
      .option('--watch', 'go on, and show what changes, until all that are shown have ended')
      .action(async (runs: string[], options: import('../status.js').StatusOptions) => {
        const { statusCommand } = await import('../status.js');
        setStatus(await statusCommand(runs, options));
      }),
    ['hpcrun status', 'your newest runs'],
    ['hpcrun status @last --json', 'the last one, for a program'],
    ['hpcrun status --watch @last', 'until it has ended; SLURM is asked no faster than the site wants'],
    ['hpcrun status --all --state running', 'what runs, on all of your clusters'],
  );

  withExamples(
    onCluster(program.command('logs'))
      .summary("a run's output")
      .description("Prints a run's output: standard output and standard error of the job, in the order they came.")
      .argument('[run]', runArgument, '@last')
      .option('-f, --follow', 'go on until the run has ended')
      .option('--rank <n>', 'only the lines of this rank, without their mark (torchrun and mpi)')
      .action(async (run: string, options: import('../logs.js').LogsOptions) => {
        const { logsCommand } = await import('../logs.js');
        setStatus(await logsCommand(run, options));
      }),
    ['hpcrun logs', 'what the last run has printed so far'],
    ['hpcrun logs -f train', 'follow the newest run named train'],
    ['hpcrun logs --rank 0', 'only what the first rank of several has printed'],
  );

  withExamples(
    onCluster(program.command('show'))
      .summary('all that is known of a run')
      .description(
        'Shows the state of a run, what it asked for, was given and used, its command, image, code and variables (their names only), and ' +
          'where it came from.',
      )
      .argument('[run]', runArgument, '@last')
      .option('--script', 'print its batch script instead')
      .option('--diff', 'print what was uncommitted in its project instead, as a patch')
      .action(async (run: string, options: import('../show.js').ShowOptions) => {
        const { showCommand } = await import('../show.js');
        setStatus(await showCommand(run, options));
      }),
    ['hpcrun show', 'the last run'],
    ['hpcrun show --diff baseline | git apply', 'the code that a run ran'],
    ['hpcrun show --json k3f9', 'for a script, with the whole record'],
  );

  withExamples(
    onCluster(program.command('wait'))
      .summary('wait for a run to end and exit with its status')
      .description(
        "Waits until a run has ended and exits with the job's own exit status; 124 for a time limit, 137 for too little " +
          'memory, 143 for a cancelled job.',
      )
      .argument('[run]', runArgument, '@last')
      .action(async (run: string, options: import('../context.js').CommonOptions) => {
        const { waitCommand } = await import('../wait.js');
        setStatus(await waitCommand(run, options));
      }),
    ['hpcrun wait && hpcrun pull-results', 'results as soon as they are complete'],
  );

  withExamples(
    onCluster(program.command('cancel'))
      .summary('cancel runs')
      .description('Cancels runs with scancel and says which. Runs that have ended are left alone.')
      .argument('<runs...>', runArgument)
      .action(async (runs: string[], options: import('../context.js').CommonOptions) => {
        const { cancelCommand } = await import('../cancel.js');
        setStatus(await cancelCommand(runs, options));
      }),
    ['hpcrun cancel @last', 'the run submitted last'],
    ['hpcrun cancel 4711 4712', 'by SLURM job id'],
  );

  withExamples(
    onCluster(program.command('pull-results'))
      .summary('bring back what a run wrote')
      .description(
        'Copies here what a run created or changed in its project directory. Files that are here already are not copied again. ' +
          'Nothing outside of the target directory is ever written, whatever the run left behind.',
      )
      .argument('[runs...]', `${runArgument} (default: @last)`)
      .option(
        '--to <directory>',
        'where to (default: hpcrun-results/<run id> in the project); of several runs, <run id> in it',
      )
      .option('--include <pattern>', 'only what matches, as in .gitignore (repeatable)', collect)
      .option('--exclude <pattern>', 'not what matches, as in .gitignore (repeatable)', collect)
      .option('--max-size <size>', 'leave larger files there, such as 500M')
      .option('--live', 'also files that are still being written, as they are')
      .option('--watch', 'go on while the run goes on, and end with it')
      .option('--bwlimit <rate>', 'bytes a second at most, such as 2M')
      .action(async (runs: string[], options: import('../pull-results.js').PullResultsOptions) => {
        const { pullResultsCommand } = await import('../pull-results.js');
        setStatus(await pullResultsCommand(runs.length === 0 ? ['@last'] : runs, options));
      }),
    ['hpcrun pull-results', 'of the last run'],
    ['hpcrun pull-results train --to best', 'of the newest run named train, into best/'],
    ["hpcrun pull-results --exclude '*.ckpt'", 'all but the checkpoints'],
    ['hpcrun pull-results --watch', 'while it runs, until it has ended'],
  );
}
