import { execa } from 'execa';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Puts an SSH configuration in the place of this machine's: OpenSSH looks for it in the home directory of the password file, where no
 * test may write. Returns the PATH in which `ssh` is one that reads it.
 */
export async function useSshConfig(directory: string, text: string): Promise<{ PATH: string }> {
  const config = join(directory, 'ssh_config');
  await writeFile(config, text);
  const { stdout: ssh } = await execa('sh', ['-c', 'command -v ssh']);
  await writeFile(join(directory, 'ssh'), `#!/bin/sh\nexec ${ssh} -F ${config} "$@"\n`);
  await chmod(join(directory, 'ssh'), 0o755);
  return { PATH: `${directory}:${process.env.PATH ?? ''}` };
}
