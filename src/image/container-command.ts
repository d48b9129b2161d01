import { posix } from 'node:path';
import { HpcrunError } from '../errors.js';
import type { ImageInfo } from './engine.js';

/** What the user asked to run: a script of the project, a command, or the image's own. */
export type RequestedCommand =
  | { kind: 'script'; /** Relative to the working directory. */ path: string; isExecutable: boolean; args: string[] }
  | { kind: 'command'; argv: string[] }
  | { kind: 'image' };

const interpreters: Record<string, string[]> = {
  '.py': ['python3'],
  '.sh': ['sh'],
  '.bash': ['bash'],
  '.R': ['Rscript'],
  '.r': ['Rscript'],
  '.jl': ['julia'],
  '.pl': ['perl'],
};

/**
 * The full argument vector of the job, resolved as `docker run` would: ENTRYPOINT followed by what was asked for, or by
 * CMD. A script is run by the interpreter its ending names, or as a program where it has none. An ENTRYPOINT that is
 * nothing but an interpreter takes the interpreter's place. Throws COMMAND_MISSING.
 */
export function resolveContainerCommand(
  requested: RequestedCommand,
  image: Pick<ImageInfo, 'entrypoint' | 'command'>,
): string[] {
  switch (requested.kind) {
    case 'script': {
      const interpreter = interpreterOf(requested);
      const entrypoint = isInterpreter(image.entrypoint, interpreter)
        ? image.entrypoint
        : [...image.entrypoint, ...interpreter];
      // A script run as a program needs a slash in its name, and a leading dash must not look like an option.
      const path = interpreter.length === 0 || requested.path.startsWith('-') ? `./${requested.path}` : requested.path;
      return [...entrypoint, path, ...requested.args];
    }
    case 'command':
      return [...image.entrypoint, ...requested.argv];
    case 'image': {
      const argv = [...image.entrypoint, ...image.command];
      if (argv.length > 0) return argv;
      throw new HpcrunError(
        'COMMAND_MISSING',
        'nothing to run: no script was given, and the image has neither ENTRYPOINT nor CMD',
        {
          hint: 'hpcrun submit train.py',
        },
      );
    }
  }
}

function interpreterOf(script: { path: string; isExecutable: boolean }): string[] {
  const interpreter = interpreters[posix.extname(script.path)];
  if (interpreter) return interpreter;
  if (script.isExecutable) return [];
  throw new HpcrunError(
    'COMMAND_MISSING',
    `do not know how to run ${script.path}: its ending names no interpreter and it is not executable`,
    {
      hint: `Make it executable (chmod +x ${script.path}) or say how: hpcrun submit -- INTERPRETER ${script.path}`,
    },
  );
}

function isInterpreter(entrypoint: string[], interpreter: string[]): boolean {
  const [program] = entrypoint;
  if (entrypoint.length !== 1 || program === undefined || interpreter.length === 0) return false;
  const name = posix.basename(program).replace(/[\d.]+$/, '');
  return name === interpreter[0]?.replace(/[\d.]+$/, '');
}
