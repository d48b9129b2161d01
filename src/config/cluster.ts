import { dirname, join } from 'node:path';
import { HpcrunError } from '../errors.js';
import type { Directories } from './directories.js';
import { mergeSettings } from './merge-settings.js';
import { clusterSchema, userSchema, type Cluster, type UserConfig } from './schema.js';
import type { Project } from './project.js';
import { loadSite, type Site } from './site.js';
import { loadYamlFile } from './yaml-file.js';

export const sandboxClusterName = 'sandbox';

/** A cluster with everything filled in that has a default. */
export interface ResolvedCluster extends Omit<Cluster, 'site'> {
  name: string;
  /** Its site's profile, whose settings are in the cluster's own already. */
  site?: Site | undefined;
  host: string;
  /** Where hpcrun keeps its files on the cluster; `~` and variables are still to be expanded there. */
  root: string;
  /** Shortest time between two questions to SLURM, in seconds. */
  pollSeconds: number;
  /** Where this machine keeps what it knows of the cluster: facts and the records of runs. */
  stateDirectory: string;
  /** The cluster in containers on this machine: its login never depends on the user's own SSH configuration. */
  isSandbox: boolean;
}

/** Where the running sandbox says how it is reached; `hpcrun sandbox up` writes it, `down` removes it. */
export function sandboxClusterFile(directories: Directories, sandboxName: string): string {
  return join(directories.state, 'sandboxes', sandboxName, 'cluster.json');
}

/** The sandbox's name on this machine: `hpcrun-sandbox`, or HPCRUN_SANDBOX_NAME so that several can live side by side. */
export function resolveSandboxName(env: NodeJS.ProcessEnv): string {
  const name = env.HPCRUN_SANDBOX_NAME ?? 'hpcrun-sandbox';
  if (!/^[a-z0-9][a-z0-9-]*$/.test(name)) {
    throw new HpcrunError('USAGE', `HPCRUN_SANDBOX_NAME is "${name}", which cannot be part of a container's name`, {
      hint: 'Use lower-case letters, digits and dashes.',
    });
  }
  return name;
}

function userConfigFile(directories: Directories): string {
  return join(directories.config, 'config.yaml');
}

/** The user's own config.yaml; all defaults where there is none. Throws CONFIG_INVALID. */
export async function loadUserConfig(directories: Directories): Promise<UserConfig> {
  return (await loadYamlFile(userConfigFile(directories), userSchema)) ?? userSchema.parse({});
}

export interface ClusterSources {
  directories: Directories;
  env: NodeJS.ProcessEnv;
  project: Project | undefined;
  /** From `--cluster`. */
  flag: string | undefined;
}

/**
 * Chooses the cluster: --cluster, then HPCRUN_CLUSTER, hpcrun.yaml, the user's config.yaml, the only cluster that is
 * configured, and at last the sandbox if it is up. Throws CLUSTER_UNKNOWN or CONFIG_INVALID.
 */
export async function resolveCluster(sources: ClusterSources): Promise<ResolvedCluster> {
  const userFile = userConfigFile(sources.directories);
  const user = await loadUserConfig(sources.directories);
  const configured = configuredClusters(user, sources.project);
  const sandbox = await loadSandbox(sources);
  const only = configured.size === 1 ? [...configured.keys()][0] : undefined;
  const name =
    sources.flag ??
    (sources.env.HPCRUN_CLUSTER === '' ? undefined : sources.env.HPCRUN_CLUSTER) ??
    sources.project?.config.cluster ??
    user.cluster ??
    only ??
    (sandbox && configured.size === 0 ? sandboxClusterName : undefined);
  if (name === undefined) throw noCluster([...configured.keys()], userFile);

  const own = configured.get(name);
  if (own) {
    const site = own.site === undefined ? undefined : await loadSite(own.site, sources.directories);
    const stateDirectory = join(sources.directories.state, 'clusters', name);
    return withDefaults(name, own, { site, stateDirectory, isSandbox: false });
  }
  if (name === sandboxClusterName) {
    if (sandbox) {
      const stateDirectory = dirname(sandboxFile(sources));
      return withDefaults(name, sandbox, { site: undefined, stateDirectory, isSandbox: true });
    }
    throw new HpcrunError('CLUSTER_UNKNOWN', 'the sandbox cluster is not running', { hint: 'hpcrun sandbox up' });
  }
  const known = [...configured.keys(), sandboxClusterName].join(', ');
  throw new HpcrunError('CLUSTER_UNKNOWN', `there is no cluster named "${name}"; known are: ${known}`, {
    hint: `Add it under "clusters:" in hpcrun.yaml or ${userFile}: docs/configuration.md shows how.`,
  });
}

/** Whether there is any cluster that could be meant: configured, asked for, or the sandbox. Throws CONFIG_INVALID. */
export async function hasCluster(sources: ClusterSources): Promise<boolean> {
  const { directories, env, project, flag } = sources;
  const user = await loadUserConfig(directories);
  const named = flag ?? env.HPCRUN_CLUSTER ?? project?.config.cluster ?? user.cluster ?? '';
  const configured = { ...user.clusters, ...project?.config.clusters };
  return named !== '' || Object.keys(configured).length > 0 || (await loadSandbox(sources)) !== undefined;
}

/** Whether the sandbox is up. Throws CONFIG_INVALID. */
export async function hasSandbox(sources: Pick<ClusterSources, 'directories' | 'env'>): Promise<boolean> {
  return (await loadSandbox(sources)) !== undefined;
}

function sandboxFile({ directories, env }: Pick<ClusterSources, 'directories' | 'env'>): string {
  return sandboxClusterFile(directories, resolveSandboxName(env));
}

async function loadSandbox({
  directories,
  env,
}: Pick<ClusterSources, 'directories' | 'env'>): Promise<Cluster | undefined> {
  const file = sandboxFile({ directories, env });
  // JSON is YAML, and what reads the one reports mistakes in it.
  return await loadYamlFile(file, clusterSchema);
}

/** Clusters by name; what the project says of one goes before what the user says of it, key by key. */
export function configuredClusters(user: UserConfig, project: Project | undefined): Map<string, Cluster> {
  const own = project?.config.clusters ?? {};
  const names = new Set([...Object.keys(user.clusters), ...Object.keys(own)]);
  return new Map([...names].map((name) => [name, mergeSettings<Cluster>(user.clusters[name] ?? {}, own[name] ?? {})]));
}

function withDefaults(
  name: string,
  own: Cluster,
  { site, stateDirectory, isSandbox }: Pick<ResolvedCluster, 'site' | 'stateDirectory' | 'isSandbox'>,
): ResolvedCluster {
  const cluster = site?.cluster ? mergeSettings<Cluster>(site.cluster, own) : own;
  return {
    ...cluster,
    site,
    name,
    stateDirectory,
    isSandbox,
    host: cluster.host ?? site?.login?.[0] ?? name,
    // A host that the user names is reached as the user's own SSH configuration says.
    proxyJump: cluster.proxyJump ?? (cluster.host === undefined ? site?.jump : undefined),
    root: cluster.root ?? plainRoot(site) ?? '~/hpcrun',
    // SLURM sites forbid loops of squeue; a minute is what they ask for.
    pollSeconds: cluster.pollSeconds ?? 60,
  };
}

/** Undefined for a root with a part that only the user can fill in. */
function plainRoot(site: Site | undefined): string | undefined {
  return site?.root?.includes('{') ? undefined : site?.root;
}

function noCluster(names: string[], userFile: string): HpcrunError {
  if (names.length > 1) {
    return new HpcrunError('CLUSTER_UNKNOWN', `which cluster? There are several: ${names.join(', ')}`, {
      hint: `Say --cluster ${names[0] ?? 'NAME'}, or put "cluster: ${names[0] ?? 'NAME'}" into hpcrun.yaml.`,
    });
  }
  return new HpcrunError('CLUSTER_UNKNOWN', 'no cluster is configured', {
    hint: `Add yours to ${userFile} (docs/configuration.md), or try one on this machine: hpcrun sandbox up`,
  });
}
