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
