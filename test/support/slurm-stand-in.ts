import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeTemporaryDirectory } from './temporary-directory.js';

const commands = {
  sbatch: `echo "sbatch $*" >>"$LAB/calls"
if [ -r "$LAB/meanwhile" ]; then . "$LAB/meanwhile"; fi
if [ -s "$LAB/refusal" ]; then cat "$LAB/refusal" >&2; exit 1; fi
echo $((50 + $(grep -c sbatch "$LAB/calls")))`,
  scancel: 'echo "scancel $*" >>"$LAB/calls"',
  scontrol: 'echo "MaxArraySize = 5"',
  squeue: '[ ! -e "$LAB/down" ] || exit 1; cat "$LAB/queue" 2>/dev/null || true',
  sacct: '[ ! -e "$LAB/down" ] || exit 1',
};

/**
 * Stands in for SLURM where the order of calls matters that the real one cannot be made to keep: each call is written down, and the
 * files `meanwhile` (what happens while sbatch is asked), `refusal`, `queue` and `down` in its directory say how it answers.
 */
export class SlurmStandIn {
  private constructor(readonly directory: string) {}

  static async make(): Promise<SlurmStandIn> {
    const directory = await makeTemporaryDirectory();
    await mkdir(join(directory, 'bin'));
    for (const [name, body] of Object.entries(commands)) {
      await writeFile(join(directory, 'bin', name), `#!/bin/sh\n${body}\n`);
      await chmod(join(directory, 'bin', name), 0o755);
    }
    await writeFile(join(directory, 'calls'), '');
    return new SlurmStandIn(directory);
  }

  get env(): Record<string, string> {
    return { LAB: this.directory, PATH: `${this.directory}/bin:${process.env.PATH ?? '/usr/bin:/bin'}` };
  }

  async say(file: 'meanwhile' | 'refusal' | 'queue' | 'down', text: string): Promise<void> {
    await writeFile(join(this.directory, file), text);
  }

  async calls(): Promise<string[]> {
    return (await readFile(join(this.directory, 'calls'), 'utf8')).split('\n').filter((line) => line !== '');
  }
}
