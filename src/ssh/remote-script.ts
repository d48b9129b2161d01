import { HpcrunError } from '../errors.js';
import type { Connection, RemoteResult, RunOptions } from './connection.js';
import { printable } from './terminal-text.js';

/** Exit status by which hpcrun's own scripts say that there was no room; picked from the range sysexits.h leaves free. */
export const diskFullStatus = 90;

/**
 * Shell functions at the head of hpcrun's remote scripts. `try_disk CMD…` runs a command that writes and ends the
 * script with `diskFullStatus` when it fails for want of space or quota. A reader that has gone away does not end a script
 * at its next message: it has to get to its own clean-up.
 */
export const scriptPrelude = `set -u
LC_ALL=C; export LC_ALL
umask 077
trap '' PIPE
try_disk() {
  try_disk_error=$("$@" 2>&1 >/dev/null) && return 0
  printf '%s\\n' "$try_disk_error" >&2
  case $try_disk_error in *'No space left'*|*'quota exceeded'*|*'Disk quota'*) exit ${diskFullStatus};; esac
  exit 1
}
# Of standard input. OpenSSL uses the CPU's instructions for it; the sha256sum of older systems does not.
sha256_of() {
  if command -v openssl >/dev/null; then openssl dgst -sha256 -r; else sha256sum; fi | cut -c 1-64
}
# Where SLURM's commands come with the login shell's start-up files or with a module, that shell is asked for its PATH. What
# the site's modules and sbatch are called may have been said in slurm_modules and slurm_sbatch.
has_sbatch() { command -v "\${slurm_sbatch:-sbatch}" >/dev/null; }
take_slurm() { # shell, modules to load
  slurm_env=$({ [ -z "$2" ] || echo "module load $2"; echo env; } | "$1" -l 2>/dev/null)
  PATH=$PATH:$(printf '%s\\n' "$slurm_env" | sed -n 's/^PATH=//p' | tail -n 1)
  for slurm_name in SLURM_CONF LD_LIBRARY_PATH; do
    slurm_value=$(printf '%s\\n' "$slurm_env" | sed -n "s/^$slurm_name=//p" | tail -n 1)
    [ -z "$slurm_value" ] || export "$slurm_name=$slurm_value"
  done
  has_sbatch
}
find_slurm() {
  slurm_found='the PATH'
  has_sbatch && return 0
  # Sites set up modules for bash, and not always for other shells.
  for slurm_shell in "\${SHELL:-/bin/sh}" bash; do
    slurm_found="the login shell\${slurm_modules:+ with module load $slurm_modules}"
    take_slurm "$slurm_shell" "\${slurm_modules-}" && return 0
    slurm_found='module load slurm'
    [ -n "\${slurm_modules-}" ] || ! take_slurm "$slurm_shell" slurm || return 0
    case $slurm_shell in */bash) break ;; esac
    command -v bash >/dev/null || break
  done
  return 1
}
`;

/**
 * Runs a script of hpcrun's own and turns a failure into an error that says what was being done. Statuses in
 * `expected` are returned as results.
 */
export async function runRemote(
  connection: Connection,
  what: string,
  script: string,
  options: RunOptions & { expected?: readonly number[] },
): Promise<RemoteResult> {
  const result = await connection.run(scriptPrelude + script, options);
  if (result.exitCode === 0 || options.expected?.includes(result.exitCode)) return result;
  throw remoteFailure(connection, what, result);
}

/** The error for a script that ended with a status nobody expected. */
export function remoteFailure(
  connection: Connection,
  what: string,
  { exitCode, stderr }: Omit<RemoteResult, 'stdout'>,
): HpcrunError {
  const said = printable(stderr.trim()).slice(-2000);
  if (exitCode === diskFullStatus) {
    return new HpcrunError('REMOTE_DISK_FULL', `no room on ${connection.description} while ${what}: ${said}`, {
      hint: 'Free some space or quota there (old runs and images live under the cluster\'s root), or set another "root:" for the cluster.',
    });
  }
  return new HpcrunError(
    'REMOTE_COMMAND_FAILED',
    `${what} failed on ${connection.description} with status ${exitCode}${said ? `: ${said}` : ''}`,
    {
      hint: 'The message above is from the cluster. Nothing half-written is used; running the command again is safe.',
    },
  );
}
