import type { Connection } from '../../ssh/connection.js';
import { runRemote } from '../../ssh/remote-script.js';
import { printable } from '../../ssh/terminal-text.js';
import { renderFinder } from './build-functions.js';

export interface FarSide {
  /** What `apptainer --version` says on the login node; undefined if there is none. */
  container: string | undefined;
  hasSbatch: boolean;
}

/** Asks the login node, in one remote command, for what conversions there need. */
export async function probeFarSide(connection: Connection, modules: string[], signal: AbortSignal): Promise<FarSide> {
  const { stdout } = await runRemote(connection, 'looking for Apptainer', renderFarProbe(modules), { signal });
  const said = printable(stdout.toString('utf8'));
  return { container: /^container (.*)$/m.exec(said)?.[1], hasSbatch: /^sbatch$/m.test(said) };
}

/** Looks for what conversions on the cluster need: prints `container …` with Apptainer's version, and `sbatch`. */
function renderFarProbe(modules: string[]): string {
  return `${renderFinder(modules)}
if find_container; then printf 'container %s\\n' "$("$container" --version)"; fi
if find_slurm; then echo sbatch; fi
`;
}
