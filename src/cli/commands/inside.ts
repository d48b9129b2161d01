import type { Command } from 'commander';
import { collect, onCluster, preparing, runArgument, withExamples, type SetStatus } from './shared.js';

/** Commands that go into a job while it runs. */
export function defineInside(program: Command, setStatus: SetStatus): void {
  withExamples(
    preparing(
      onCluster(program.command('shell'))
        .summary('a shell in the container on a compute node')
        .description(
          "Prepares image and project as submit does, waits for an allocation, and opens a shell in the container there, in the run's own copy of the " +
            'project; behind --, runs that command instead. The allocation ends with it, also when the connection is cut. Results are pulled as ' +
            'those of any run.',
        )
        .argument('[command...]', '-- COMMAND [ARGS…] (default: bash, or sh)')
        .usage('[options] [-- COMMAND [ARGS…]]')
        .option('--name <name>', "the run's name (default: shell)")
        .option('--gpus <[type:]n>', 'GPUs, such as 1 or h100:2')
        .option('--cpus <n>', 'CPU cores')
        .option('--memory <size>', 'memory, such as 32G')
        .option('--time <limit>', 'time limit, such as 2h, 1h30m or 1-12:00:00')
        .option('--partition <name>', 'SLURM partition')
        .option('--account <name>', 'SLURM account to charge')
        .option('--qos <name>', 'quality of service')
        .option('--constraint <features>', "only nodes with these features, such as 'a100|h100'")
        .option('--reservation <name>', 'in a reservation')
        .option('--nodelist <nodes>', 'on this node')
        .option('--exclude <nodes>', 'not on these nodes')
        .option('--sbatch-arg <option>', 'any other option of sbatch (repeatable)', collect)
        .option('-e, --env <name[=value]>', 'a variable; without a value, your own is taken (repeatable)', collect),
    )
      .passThroughOptions()
      .action(async (words: string[], options: import('../run-options.js').RunOptions) => {
        const { shellCommand } = await import('../shell.js');
        setStatus(await shellCommand(words, options));
      }),
    ['hpcrun shell --gpus 1 --time 1h', 'a GPU for an hour'],
    ['hpcrun shell --gpus 1 -- nvidia-smi', 'one command, and its exit status'],
  );

  withExamples(
    onCluster(program.command('exec'))
      .summary('run a command inside a running job')
      .description(
        "Runs a command in a container like the running job's, on its first node: the same image, directories, variables and GPUs, its /tmp and " +
          'home directory too. Ends with the status of the command. Ctrl-C goes to the command.',
      )
      .argument('<run>', runArgument)
      .argument('<command...>', 'COMMAND [ARGS…]')
      .usage('[options] RUN [-it] COMMAND [ARGS…]')
      .option('-i, --interactive', 'pass standard input on to the command')
      .option('-t, --tty', 'run it on a terminal')
      .passThroughOptions()
      .action(async (run: string, words: string[], options: import('../exec.js').ExecOptions) => {
        const { execCommand } = await import('../exec.js');
        setStatus(await execCommand(run, words, options));
      }),
    ['hpcrun exec @last nvidia-smi', "what the last run's GPUs are doing"],
    ['hpcrun exec -it train bash', 'a shell beside the newest run named train'],
    ['hpcrun exec -i @last python3 - <probe.py', 'a script that is only here'],
  );

  withExamples(
    onCluster(program.command('forward'))
      .summary('reach a port of a running job from here')
      .description(
        "Makes a port on the job's first node reachable on this machine, and on it alone: waits for the job to start, prints the address, " +
          'and ends with the job or with Ctrl-C. Also reaches what listens at 127.0.0.1 of the node. Without a port, that of a run submitted ' +
          'with --template service.',
      )
      .argument('[run]', runArgument, '@last')
      .argument('[port]', 'PORT, or LOCAL:PORT; 0:PORT for any free port here')
      .action(async (run: string, port: string | undefined, options: import('../context.js').CommonOptions) => {
        const { forwardCommand } = await import('../forward.js');
        setStatus(await forwardCommand(run, port, options));
      }),
    ['hpcrun forward', 'the last run, a service: prints the URL to open'],
    ['hpcrun forward train 6006', "TensorBoard beside train's run, at http://127.0.0.1:6006/"],
    ['hpcrun forward train 0:6006 --json', 'at any free port, for a program'],
  );
}
