import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import type { ResolvedCluster } from '../config/cluster.js';
import { HpcrunError } from '../errors.js';
import { readJsonFile, writeAtomically } from '../local-file.js';
import type { Connection } from '../ssh/connection.js';
import { runRemote } from '../ssh/remote-script.js';
import { printable } from '../ssh/terminal-text.js';

const validForMs = 24 * 60 * 60 * 1000;

const factsSchema = z.object({
  /** Absolute, with variables expanded. */
  root: z.string(),
  /** Absolute: where images are kept; the root where no store is configured. */
  store: z.string(),
  home: z.string(),
  /** Go's name, such as `amd64`. */
  architecture: z.string(),
  /** Variables of the cluster that the configuration mentions. */
  variables: z.record(z.string(), z.string()),
});

/** What hpcrun has learned of a cluster. */
export type ClusterFacts = z.output<typeof factsSchema>;

const cacheSchema = z.object({ question: z.string(), askedAt: z.number(), facts: factsSchema });

const variablePattern = /\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))/g;

const goArchitectures: Record<string, string> = {
  x86_64: 'amd64',
  aarch64: 'arm64',
  ppc64le: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
};

/** Go's name of what `uname -m` says. */
export function goArchitecture(machine: string): string {
  return goArchitectures[machine] ?? machine;
}

/**
 * The facts about a cluster: from what was learned within a day if the configuration is the same, otherwise by one
 * remote command. `paths` are the configuration's remote paths; their variables are looked up along with the root's.
 * Throws VARIABLE_MISSING for a variable the cluster does not have.
 */
export async function learnCluster(
  cluster: ResolvedCluster,
  paths: string[],
  connect: () => Promise<Connection>,
  signal: AbortSignal,
): Promise<ClusterFacts> {
  const { host, port, user, root, store } = cluster;
  const names = variableNames([cluster.root, ...(store ? [store.path] : []), ...paths]);
  const question = createHash('sha256')
    .update(JSON.stringify([host, port, user, root, store?.path]))
    .digest('hex');
  const file = join(cluster.stateDirectory, 'facts.json');
  const cached = await readJsonFile(file, cacheSchema);
  const isFresh = cached?.question === question && Date.now() - cached.askedAt < validForMs;
  const known = isFresh ? cached.facts.variables : {};
  if (isFresh && names.every((name) => name in known)) return cached.facts;

  // What earlier commands wanted to know is asked again, so that different commands do not undo each other's answers.
  const all = [...new Set([...names, ...Object.keys(known)])];
  const facts = await probe(await connect(), cluster, all, signal);
  await writeAtomically(file, JSON.stringify({ question, askedAt: Date.now(), facts }));
  return facts;
}

async function probe(
  connection: Connection,
  cluster: ResolvedCluster,
  names: string[],
  signal: AbortSignal,
): Promise<ClusterFacts> {
  const { stdout } = await runRemote(connection, 'looking around', renderProbe(names), { signal });
  const fields = stdout.toString('utf8').split('\0');
  const [home = '', machine = '', ...values] = fields;
  const variables = Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']));
  const architecture = goArchitecture(machine);
  const facts = { home, architecture, variables };
  const place = (key: 'root' | 'store', configured: string) => {
    const path = expandRemotePath(configured, facts, cluster.name);
    // Every path below it goes into #SBATCH lines and `apptainer exec --bind`, which cannot escape these.
    if (!/[\s,:"'\\#]/.test(path)) return path;
    throw new HpcrunError(
      'CONFIG_INVALID',
      `the ${key} "${printable(path)}" of ${cluster.name} holds a blank, a quote or one of , : # \\`,
      { hint: `Set another "${key}:" for ${cluster.name} in its configuration.` },
    );
  };
  const root = place('root', cluster.root);
  return { ...facts, root, store: cluster.store ? place('store', cluster.store.path) : root };
}

/** A variable that a non-interactive shell does not have is asked of the login shell, where sites set $WORK
 * and its like; it reads the question from its input, because tcsh takes -l alone only. */
export function renderProbe(names: string[]): string {
  const ask = names.map((name) => `value_of ${name}`).join('\n');
  return `value_of() {
  eval "value=\\\${$1-}"
  if [ -z "$value" ]; then
    value=$(echo "echo hpcrun-value=\\"\\$$1\\"" | "\${SHELL:-/bin/sh}" -l 2>/dev/null | sed -n 's/^hpcrun-value=//p' | tail -n 1)
  fi
  printf '%s\\0' "$value"
}
printf '%s\\0%s\\0' "$HOME" "$(uname -m)"
${ask}
`;
}

/** The variables mentioned in remote paths, each once, in order. */
export function variableNames(paths: string[]): string[] {
  return [
    ...new Set(paths.flatMap((path) => [...path.matchAll(variablePattern)].map((match) => match[1] ?? match[2] ?? ''))),
  ];
}

/** Expands a leading `~` and `$NAME` in a path of the cluster. Throws VARIABLE_MISSING; the result is absolute. */
export function expandRemotePath(
  path: string,
  facts: Omit<ClusterFacts, 'root' | 'store'>,
  clusterName: string,
): string {
  const withHome = path.replace(/^~(?=\/|$)/, () => facts.home);
  const expanded = withHome.replace(variablePattern, (_, braced?: string, plain?: string) => {
    const name = braced ?? plain ?? '';
    const value = facts.variables[name];
    if (value) return value;
    throw new HpcrunError('VARIABLE_MISSING', `"${path}" needs $${name}, which is not set on ${clusterName}`, {
      hint: `Log in and try "echo $${name}", or write the path out.`,
    });
  });
  if (expanded.startsWith('/')) return expanded.replace(/(?<=.)\/+$/, '');
  throw new HpcrunError(
    'CONFIG_INVALID',
    `"${path}" is "${expanded}" on ${clusterName}, which is not an absolute path`,
    {
      hint: 'Begin it with / or ~ or a variable of the cluster.',
    },
  );
}
