import type { Command } from 'commander';
import { onCluster, withExamples, type SetStatus } from './shared.js';

/** `hpcrun connect` and `hpcrun disconnect`. */
export function defineConnection(program: Command, setStatus: SetStatus): void {
  withExamples(
    onCluster(program.command('connect'))
      .summary('log in once for all commands that follow')
      .description(
        'Logs in to the cluster and keeps the connection in the background, so that a password or second factor is asked for once. Every ' +
          'command uses it while it is there, from any terminal. It ends when nobody has used it for a while, or with "hpcrun disconnect".',
      )
      .option('--idle <time>', 'end it when it was not used for so long (default: 4h)')
      .option('--for <time>', 'end it after so long in any case, such as 10h')
      .option('--status', 'only say whether there is one and how long it lasts; ends with 8 if there is none')
      .action(async (options: import('../connect.js').ConnectOptions) => {
        const { connectCommand } = await import('../connect.js');
        setStatus(await connectCommand(options));
      }),
    ['hpcrun connect', 'one login, and one second factor, for all that follows'],
    ['hpcrun connect --for 10h', 'but no longer than a working day'],
    ['hpcrun connect --status', 'is there one, and how long does it last?'],
  );
  withExamples(
    onCluster(program.command('disconnect'))
      .summary('end the connection that "hpcrun connect" keeps')
      .description('Ends the kept connection to the cluster. Commands that use it just now are cut off.')
      .option('--all', 'those to all clusters')
      .action(async (options: import('../disconnect.js').DisconnectOptions) => {
        const { disconnectCommand } = await import('../disconnect.js');
        setStatus(await disconnectCommand(options));
      }),
    ['hpcrun disconnect --all', 'before the laptop is lent to somebody'],
  );
}
