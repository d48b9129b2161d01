import { execa } from 'execa';
import { HpcrunError, throwIfInterrupted } from '../errors.js';

/** Runs docker and returns its standard output without the last newline. Throws SANDBOX_FAILED. */
export async function docker(args: string[], signal: AbortSignal): Promise<string> {
  const result = await execa('docker', args, { reject: false, stdin: 'ignore', cancelSignal: signal });
  throwIfInterrupted(signal);
  if (result.exitCode === 0) return result.stdout;
  const said = result.stderr.trim() || (result.shortMessage ?? '');
  throw new HpcrunError('SANDBOX_FAILED', `docker ${args[0] ?? ''} failed: ${said}`, {
    hint: 'Start over with: hpcrun sandbox down && hpcrun sandbox up',
  });
}

/** As `docker`, for questions whose answer may be no: undefined instead of an error. */
export async function tryDocker(args: string[], signal: AbortSignal): Promise<string | undefined> {
  const result = await execa('docker', args, { reject: false, stdin: 'ignore', cancelSignal: signal });
  throwIfInterrupted(signal);
  return result.exitCode === 0 ? result.stdout : undefined;
}

/** The non-empty lines of a docker listing. */
export async function dockerLines(args: string[], signal: AbortSignal): Promise<string[]> {
  return (await docker(args, signal)).split('\n').filter((line) => line !== '');
}
