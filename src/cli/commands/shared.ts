import type { Command } from 'commander';
import { HpcrunError } from '../../errors.js';
import { closest } from '../../suggest.js';

/** Told the exit status a command ends with. */
export type SetStatus = (status: number) => void;

/** Options that commands on a cluster share. */
export function onCluster(command: Command): Command {
  return command
    .option('--cluster <name>', 'the cluster to use (default: HPCRUN_CLUSTER, hpcrun.yaml, or the only one there is)')
    .option('--json', 'print one JSON object a line')
    .option('--no-input', 'never ask anything');
}

/** Options of commands that prepare an image and a job as submit does. */
export function preparing(command: Command): Command {
  return command
    .option('-v, --volume <source:target[:ro]>', 'bind a path of the cluster, as in docker run (repeatable)', collect)
    .option('--mount <type=bind,…>', "the same in Docker's long form (repeatable)", collect)
    .option('--build-arg <name[=value]>', 'a build argument for the Dockerfile (repeatable)', collect)
    .option('--engine <name>', 'docker or podman (default: HPCRUN_ENGINE, hpcrun.yaml, or the one that is there)')
    .option('--convert <way>', 'how the image becomes a SIF: auto, native, apptainer, remote, slurm or registry')
    .option('--no-cache', 'convert all of the image, whatever has been converted before')
    .option('--bwlimit <rate>', 'send images no faster than this, such as 2M for 2 MiB a second');
}

/** For options that may be given more than once. */
export function collect(value: string, previous: string[] = []): string[] {
  return [...previous, value];
}

export function withExamples(command: Command, ...examples: [command: string, meaning: string][]): Command {
  const width = Math.max(...examples.map(([text]) => text.length));
  const lines = examples.map(([text, meaning]) => `  $ ${text.padEnd(width)}   ${meaning}`);
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

/** A command that only holds others: alone it shows what there is, as a mistake. */
export function helpOrUnknown(command: Command, setStatus: SetStatus): void {
  command
    .allowExcessArguments()
    .allowUnknownOption()
    .action(() => {
      const [word] = command.args;
      if (word === undefined) {
        command.outputHelp({ error: true });
        setStatus(2);
        return;
      }
      const close = closest(
        word,
        command.commands.map((known) => known.name()),
      );
      const path = command.parent ? `${command.parent.name()} ${command.name()}` : command.name();
      throw new HpcrunError(
        'USAGE',
        `unknown ${word.startsWith('-') ? 'option' : 'command'} "${word}"${close === undefined ? '' : `; did you mean "${close}"?`}`,
        {
          hint: `${path} --help`,
        },
      );
    });
}

/** How a run is named on the command line. */
export const runArgument =
  'a run id or the beginning of one, a SLURM job id, a name, or @last; of a sweep, RUN.3 is a task';
