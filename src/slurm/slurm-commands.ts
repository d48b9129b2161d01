import type { Connection } from '../ssh/connection.js';
import { quote } from '../ssh/quote.js';

/** Where SLURM's commands are and what they are called on a login node. */
export interface SlurmCommands {
  /** By SLURM's own names, such as `sbatch: sbatch.tinygpu`. */
  commands?: Partial<Record<string, string>> | undefined;
  /** Modules they come with. */
  modules?: string[] | undefined;
}

/** The connection, whose scripts find the site's commands under SLURM's own names; `find_slurm` loads the modules. */
export function withSlurmCommands(connection: Connection, slurm: SlurmCommands): Connection {
  const prelude = renderSlurmCommands(slurm);
  if (prelude === '') return connection;
  const forward = connection.forward?.bind(connection);
  return {
    description: connection.description,
    closed: connection.closed,
    ...(forward ? { forward } : {}),
    run: (script, options) => connection.run(prelude + script, options),
    stream: (script, options) => connection.stream(prelude + script, options),
    close: () => {
      connection.close();
    },
  };
}

/** Exported for tests. */
export function renderSlurmCommands({ commands = {}, modules = [] }: SlurmCommands): string {
  const functions = Object.entries(commands).flatMap(([name, command]) =>
    command === undefined || command === name
      ? []
      : [`slurm_program_${name}=${quote(command)}\n${name}() { command ${quote(command)} "$@"; }\n`],
  );
  return [
    ...(modules.length > 0 ? [`slurm_modules=${quote(modules.join(' '))}\n`] : []),
    ...(commands.sbatch === undefined ? [] : [`slurm_sbatch=${quote(commands.sbatch)}\n`]),
    ...functions,
  ].join('');
}
