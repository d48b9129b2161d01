import { existsSync } from 'node:fs';
import type { Bind } from '../config/bind.js';
import { HpcrunError } from '../errors.js';

const variablePattern = /\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))/g;

/**
 * The binds as they are on this machine. Their sources are paths of the cluster; one of them is as good here if it is
 * there, and a later bind to the same target takes its place. Throws BIND_SOURCE_MISSING for all that are not there.
 */
export function resolveLocalBinds(
  binds: Bind[],
  env: NodeJS.ProcessEnv,
  exists: (path: string) => boolean = existsSync,
): Bind[] {
  const byTarget = new Map(binds.map((bind) => [bind.target, bind]));
  const resolved = [...byTarget.values()].map((bind) => ({ bind, source: expand(bind.source, env) }));
  const missing = resolved.filter(({ source }) => source === undefined || !exists(source));
  const [first] = missing;
  if (first === undefined) return resolved.map(({ bind, source = '' }) => ({ ...bind, source }));
  throw new HpcrunError(
    'BIND_SOURCE_MISSING',
    missing
      .map(({ bind }) => `${bind.source}, which the job sees at ${bind.target}, is not on this machine`)
      .join('\n'),
    {
      hint: `Put something in its place for the trial: hpcrun run -v "$PWD/sample:${first.bind.target}${first.bind.readonly ? ':ro' : ''}" …`,
    },
  );
}

/** Undefined where a variable is not set here. */
function expand(path: string, env: NodeJS.ProcessEnv): string | undefined {
  const withHome = path.replace(/^~(?=\/|$)/, '$HOME');
  const valueOf = (braced?: string, plain?: string) => env[braced ?? plain ?? ''] ?? '';
  const names = [...withHome.matchAll(variablePattern)];
  if (names.some(([, braced, plain]) => valueOf(braced, plain) === '')) return undefined;
  return withHome.replace(variablePattern, (_, braced?: string, plain?: string) => valueOf(braced, plain));
}
