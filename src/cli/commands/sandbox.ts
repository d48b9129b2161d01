import type { Command } from 'commander';
import { quirks } from '../../sandbox/quirks.js';
import { collect, helpOrUnknown, withExamples, type SetStatus } from './shared.js';

function quirkLines(): string {
  return Object.entries(quirks)
    .map(([name, { summary }]) => `  ${name.padEnd(24)}${summary}`)
    .join('\n');
}

/** `hpcrun sandbox …`. */
export function defineSandbox(sandbox: Command, setStatus: SetStatus): void {
  sandbox
    .summary('a real SLURM cluster in containers on this machine')
    .description(
      'A SLURM cluster with Apptainer in Docker containers: a login node and compute nodes with two GPU devices each. Everywhere a cluster is named, it is called "sandbox".',
    )
    .helpCommand(false);
  helpOrUnknown(sandbox, setStatus);
  withExamples(sandbox, ['hpcrun sandbox up', 'start it'], ['hpcrun sandbox down', 'remove it']);
  withExamples(
    sandbox
      .command('up')
      .summary('start it')
      .description(
        'Starts the cluster and returns when its nodes are idle. The first time, its image is built, which takes a few minutes.',
      )
      .option('--nodes <n>', 'compute nodes (default: 2)')
      .option('--no-accounting', 'without slurmdbd, as on clusters where sacct does not work')
      .option('--quirk <name>', 'make it like clusters people have met (repeatable; the list is below)', collect)
      .option('--install-engine', 'on Debian or Ubuntu as root: install and start Docker and what else is missing')
      .option('--json', 'print one JSON object a line')
      .action(async (options: import('../sandbox.js').SandboxUpOptions) => {
        const { sandboxUpCommand } = await import('../sandbox.js');
        setStatus(await sandboxUpCommand(options));
      })
      .addHelpText('after', () => `\nQuirks:\n${quirkLines()}`),
    ['hpcrun sandbox up --nodes 4', 'with four compute nodes'],
    ['hpcrun sandbox up --quirk tcsh --quirk key-totp', 'an unusual login shell, and a one-time code at the login'],
  );
  withExamples(
    sandbox
      .command('status')
      .summary('whether it runs')
      .description('Shows the nodes of the cluster and how to log in.')
      .option('--json', 'print one JSON object a line')
      .action(async (options: { json?: boolean }) => {
        const { sandboxStatusCommand } = await import('../sandbox.js');
        setStatus(await sandboxStatusCommand(options));
      }),
    ['hpcrun sandbox status', 'its nodes and their states'],
  );
  withExamples(
    sandbox
      .command('down')
      .summary('remove it')
      .description(
        'Removes the cluster with everything it made: containers, network, volumes, key, images and the runs on it.',
      )
      .option('--keep-images', 'keep the images, so that the next "up" takes seconds')
      .option('--json', 'print one JSON object a line')
      .action(async (options: { json?: boolean; keepImages?: boolean }) => {
        const { sandboxDownCommand } = await import('../sandbox.js');
        setStatus(await sandboxDownCommand(options));
      }),
    ['hpcrun sandbox down --keep-images', 'keep what takes long to build'],
  );
}
