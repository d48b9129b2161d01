import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderSlurmCommands } from '../../src/slurm/slurm-commands.js';
import { scriptPrelude } from '../../src/ssh/remote-script.js';
import { runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

/** A directory with programs that say their name and their arguments. */
async function programs(...names: string[]): Promise<string> {
  const directory = await makeTemporaryDirectory();
  await writeTree(directory, Object.fromEntries(names.map((name) => [name, `#!/bin/sh\necho "${name}: $*"\n`])));
  for (const name of names) await chmod(join(directory, name), 0o755);
  return directory;
}

const path = (directory: string) => ({ PATH: `${directory}:/usr/bin:/bin` });

describe("a site's SLURM commands", () => {
  it('are found under the names that SLURM gives them', async () => {
    const directory = await programs('sbatch.tinygpu', 'squeue.tinygpu');
    const commands = { sbatch: 'sbatch.tinygpu', squeue: 'squeue.tinygpu' };
    const script = `${renderSlurmCommands({ commands })}${scriptPrelude}find_slurm && sbatch --parsable "a b" && squeue --me`;
    expect(runShell('/bin/sh', script, { env: path(directory) }).stdout).toBe(
      'sbatch.tinygpu: --parsable a b\nsqueue.tinygpu: --me\n',
    );
  });

  it('are missing where only sbatch itself is there', async () => {
    const directory = await programs('sbatch');
    const script = `${renderSlurmCommands({ commands: { sbatch: 'sbatch.tinygpu' } })}${scriptPrelude}find_slurm || echo missing`;
    expect(runShell('/bin/sh', script, { env: path(directory) }).stdout).toBe('missing\n');
  });

  it.each<[string, string, string[], string]>([
    ['a module that is named', '.profile', ['site/slurm'], 'the login shell with module load site/slurm'],
    ['a module called slurm, where nothing is said', '.profile', [], 'module load slurm'],
    ['a module that bash alone knows', '.bash_profile', [], 'module load slurm'],
    [
      'a module that is named and that bash alone knows',
      '.bash_profile',
      ['site/slurm'],
      'the login shell with module load site/slurm',
    ],
  ])('come with %s', async (_, file, modules, found) => {
    const home = await makeTemporaryDirectory();
    const directory = await programs('sbatch');
    await writeTree(home, {
      [file]: `module() { case "$*" in 'load slurm' | 'load site/slurm') PATH=${directory}:$PATH; SLURM_CONF=/etc/x.conf; export SLURM_CONF ;; esac; }\n`,
    });
    const script = `${renderSlurmCommands({ modules })}${scriptPrelude}find_slurm; echo "$slurm_found, $SLURM_CONF"; sbatch 1`;
    const { stdout } = runShell('/bin/sh', script, { env: { HOME: home, SHELL: '/bin/sh', PATH: '/usr/bin:/bin' } });
    expect(stdout).toBe(`${found}, /etc/x.conf\nsbatch: 1\n`);
  });

  it('come with a module that only bash knows, whatever the login shell is', async () => {
    const home = await makeTemporaryDirectory();
    const directory = await programs('sbatch');
    await writeTree(home, { '.bash_profile': `module() { [ "$*" != 'load slurm' ] || PATH=${directory}:$PATH; }\n` });
    const script = `${scriptPrelude}find_slurm; echo "$slurm_found"; sbatch 1`;
    const { stdout } = runShell('/bin/sh', script, { env: { HOME: home, SHELL: '/bin/sh', PATH: '/usr/bin:/bin' } });
    expect(stdout).toBe('module load slurm\nsbatch: 1\n');
  });

  it('need nothing where nothing is said', () => {
    expect(renderSlurmCommands({})).toBe('');
  });
});
