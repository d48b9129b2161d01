import type { Command } from 'commander';
import { onCluster, runArgument, withExamples, type SetStatus } from './shared.js';

/** Commands that go into a job while it runs. */
export function defineInside(program: Command, setStatus: SetStatus): void {
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
}
