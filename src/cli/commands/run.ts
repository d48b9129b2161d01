import { Option, type Command } from 'commander';
import { collect, withExamples, type SetStatus } from './shared.js';

/** `hpcrun run`: the job on this machine. */
export function defineRun(program: Command, argv: string[], setStatus: SetStatus): void {
  withExamples(
    program
      .command('run')
      .summary('try the job on this machine, in Docker or Podman')
      .description(
        'Runs the same job as submit in a container on this machine, under the rules of a cluster: not as root, with a read-only ' +
          'image and a copy of the project that holds what would be sent. Exits with the status of the job; what it wrote is in ' +
          'hpcrun-results/. No cluster is needed.',
      )
      .argument('[script-or-command...]', 'SCRIPT [ARGS…], or -- COMMAND [ARGS…]')
      .usage('[options] [SCRIPT [ARGS…] | -- COMMAND [ARGS…]]')
      .option('--dry-run', 'print the command of the engine; do nothing')
      .option('--offline', 'without a network, as on many compute nodes')
      .option('-i, --interactive', 'pass standard input on')
      .option('-t, --tty', 'with a terminal, as in -it')
      .option('--name <name>', "the container's name")
      .option('--rm', 'accepted as in docker run: the container is always removed')
      .option('--gpus <[type:]n>', 'GPUs, where this machine has some')
      .option('--cpus <n>', 'CPU cores')
      .option('--memory <size>', 'memory, such as 8G')
      // Of the cluster alone, so that a command line with submit can be tried as it is.
      .addOption(new Option('--time <limit>').hideHelp())
      .addOption(new Option('--partition <name>').hideHelp())
      .addOption(new Option('--account <name>').hideHelp())
      .addOption(new Option('--qos <name>').hideHelp())
      .addOption(new Option('--constraint <features>').hideHelp())
      .addOption(new Option('--reservation <name>').hideHelp())
      .addOption(new Option('--nodelist <nodes>').hideHelp())
      .addOption(new Option('--exclude <nodes>').hideHelp())
      .addOption(new Option('--dependency <list>').hideHelp())
      .addOption(new Option('--begin <time>').hideHelp())
      .addOption(new Option('--mail-type <events>').hideHelp())
      .addOption(new Option('--mail-user <address>').hideHelp())
      .addOption(new Option('--sbatch-arg <option>').argParser(collect).hideHelp())
      .addOption(new Option('--cluster <name>').hideHelp())
      .addOption(new Option('--convert <way>').hideHelp())
      .addOption(new Option('--no-cache').hideHelp())
      .addOption(new Option('--no-input').hideHelp())
      // What it does anyway.
      .addOption(new Option('--wait').hideHelp())
      .option('-e, --env <name[=value]>', 'a variable; without a value, your own is taken (repeatable)', collect)
      .option('--env-file <file>', 'variables, a name=value a line (repeatable)', collect)
      .option('-v, --volume <source:target[:ro]>', 'bind a path of this machine (repeatable)', collect)
      .option('--mount <type=bind,…>', "the same in Docker's long form (repeatable)", collect)
      .option('-w, --workdir <directory>', 'the working directory in the container')
      .option('--entrypoint <program>', "instead of the image's ENTRYPOINT")
      .option('-p, --publish <port:port>', 'a port, as in docker run (repeatable)', collect)
      .option('--build-arg <name[=value]>', 'a build argument for the Dockerfile (repeatable)', collect)
      .option('--engine <name>', 'docker or podman (default: HPCRUN_ENGINE, hpcrun.yaml, or the one that is there)')
      .option('--json', 'print one JSON object at the end')
      .passThroughOptions()
      .action(async (words: string[], options: import('../run.js').LocalRunOptions) => {
        const { runCommand } = await import('../run.js');
        const isCommand = words.length > 0 && argv.at(-words.length - 1) === '--';
        setStatus(await runCommand(words, isCommand, options));
      }),
    ['hpcrun run train.py --epochs 1', 'does it start, find its files, write where it may?'],
    ['hpcrun run -v "$PWD/sample:/data:ro" train.py', "with data of this machine in place of the cluster's"],
    ['hpcrun run --offline train.py', 'does it need the network?'],
    ['hpcrun run -it -- bash', 'look around in the container'],
  );
}
