import { posix } from 'node:path';
import { expandRemotePath, variableNames, type ClusterFacts } from '../cluster/probe.js';
import type { Bind } from '../config/bind.js';
import type { ResolvedCluster } from '../config/cluster.js';
import { mergeResources, type Resources } from '../config/resources.js';
import { HpcrunError } from '../errors.js';
import { judgeRequest } from '../slurm/rules.js';
import { judgeTasks } from '../slurm/tasks.js';
import type { Plan } from './plan.js';

/** What is asked for on a cluster: what the cluster's configuration says where project and command line say nothing. */
export function resourcesOn(cluster: Pick<ResolvedCluster, 'resources'>, asked: Resources): Resources {
  return mergeResources(cluster.resources ?? {}, asked);
}

/** Says what the site's rules leave out of a request. Throws USAGE for what its SLURM would refuse. */
export function requireAllowed(
  cluster: Pick<ResolvedCluster, 'name' | 'slurm'>,
  asked: Resources,
  warn: (text: string) => void,
  { template, resume }: Partial<Pick<Plan, 'template' | 'resume'>> = {},
): void {
  const { problems: against, notes } = judgeRequest(asked, cluster.slurm ?? {});
  // What a template of the project's own does with tasks is its own affair.
  const problems = [...against, ...(template?.path === undefined ? judgeTasks(template?.name ?? 'single', asked) : [])];
  if (resume && cluster.slurm?.forbidden?.includes('signal')) {
    problems.push('--resume needs --signal, which is refused there');
  }
  for (const note of notes) warn(`${cluster.name}: ${note}`);
  if (problems.length === 0) return;
  throw new HpcrunError('USAGE', problems.map((problem) => `${cluster.name}: ${problem}`).join('\n'), {
    hint: 'On the command line, under resources: in hpcrun.yaml, or under resources: of the cluster in your config.yaml.',
  });
}

/**
 * Throws BIND_SOURCE_MISSING for binds that are on the login nodes alone. Sources are absolute; directories of the site may begin with ~
 * or a variable, and one whose variable is not set there hides nothing.
 */
export function requireOnNodes(
  { name, notOnComputeNodes: written = [] }: Pick<ResolvedCluster, 'name' | 'notOnComputeNodes'>,
  binds: Bind[],
  facts: Pick<ClusterFacts, 'home' | 'architecture' | 'variables'>,
): void {
  const notOnComputeNodes = written
    .filter((path) => variableNames([path]).every((variable) => facts.variables[variable]))
    .map((path) => expandRemotePath(path, facts, name));
  const hidden = binds.filter(({ source }) => notOnComputeNodes.some((directory) => isWithin(source, directory)));
  if (hidden.length === 0) return;
  const sources = hidden.map(({ source }) => source).join(', ');
  throw new HpcrunError('BIND_SOURCE_MISSING', `the compute nodes of ${name} do not have ${sources}`, {
    hint: `What is below ${notOnComputeNodes.join(', ')} is on the login nodes alone: copy it to a file system of the compute nodes.`,
  });
}

function isWithin(path: string, directory: string): boolean {
  const relative = posix.relative(directory, path);
  return relative !== '..' && !relative.startsWith('../');
}

/** The proxy as variables of a job, in both spellings that programs look for. */
export function proxyVariables({ proxy = {} }: Pick<ResolvedCluster, 'proxy'>): Record<string, string> {
  const values = { http_proxy: proxy.http, https_proxy: proxy.https ?? proxy.http, no_proxy: proxy.except };
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) =>
      value === undefined
        ? []
        : [
            [name, value],
            [name.toUpperCase(), value],
          ],
    ),
  );
}
