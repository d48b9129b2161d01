import type { UserConfig } from '../../config/schema.js';
import { findSite, type Site } from '../../config/site.js';
import { HpcrunError } from '../../errors.js';
import type { SshHost } from '../../ssh/ssh-hosts.js';
import { closest } from '../../suggest.js';

/** A cluster that the project could be meant for. */
export interface Candidate {
  name: string;
  /** Whether config.yaml says how it is reached, or it is the sandbox: then its name is enough. */
  isConfigured: boolean;
  /** Undefined for the site's own, or the name. */
  host?: string | undefined;
  site?: Site | undefined;
  /** For people. */
  title: string;
}

export interface Known {
  user: UserConfig;
  hosts: SshHost[];
  sites: Site[];
  hasSandbox: boolean;
}

/** What is known of clusters, the likeliest first: those in config.yaml, hosts of known sites, the sandbox, other hosts. */
export function listCandidates({ user, hosts, sites, hasSandbox }: Known): Candidate[] {
  const configured = Object.entries(user.clusters).map(([name, cluster]): Candidate => {
    const site = sites.find((each) => each.name === cluster.site);
    return { name, isConfigured: true, site, title: `${site?.title ?? cluster.host ?? name}, of your config.yaml` };
  });
  configured.sort((a, b) => Number(b.name === user.cluster) - Number(a.name === user.cluster));
  const taken = new Set(configured.map(({ name }) => name));
  const ofHosts = hosts
    .filter(({ alias }) => !taken.has(alias) && /^[A-Za-z0-9][\w.-]*$/.test(alias))
    .map(({ alias, hostName }): Candidate => {
      const site = findSite(hostName ?? alias, sites);
      const from = `${hostName ?? alias}, of your ~/.ssh/config`;
      return { name: alias, isConfigured: false, host: alias, site, title: site ? `${site.title}: ${from}` : from };
    });
  const sandbox: Candidate = {
    name: 'sandbox',
    isConfigured: true,
    title: 'the cluster in containers on this machine',
  };
  return [
    ...configured,
    ...ofHosts.filter(({ site }) => site),
    ...(hasSandbox && !taken.has('sandbox') ? [sandbox] : []),
    // Those with a site are worth a guess; of the others, any may be a web server.
    ...ofHosts.filter(({ site }) => !site),
  ];
}

/** The cluster that was asked for by its name, its site, or both. Throws CLUSTER_UNKNOWN. */
export function chooseNamed(
  candidates: Candidate[],
  { cluster, site }: { cluster: string | undefined; site: Site | undefined },
): Candidate | undefined {
  if (site) {
    const known = candidates.find((each) =>
      cluster === undefined ? each.site?.name === site.name : each.name === cluster,
    );
    if (known?.isConfigured) return known;
    return {
      name: cluster ?? known?.name ?? site.name,
      isConfigured: false,
      host: known?.host,
      site,
      title: site.title,
    };
  }
  if (cluster === undefined) return undefined;
  const named = candidates.find(({ name }) => name === cluster);
  if (named) return named;
  const names = candidates.map(({ name }) => name);
  const close = closest(cluster, names);
  throw new HpcrunError(
    'CLUSTER_UNKNOWN',
    `there is no cluster and no host of ~/.ssh/config named "${cluster}"${close === undefined ? '' : `; did you mean "${close}"?`}`,
    { hint: `Known are: ${names.join(', ') || 'none'}. Or name its site: hpcrun init --site claix` },
  );
}

/** The one to take where nobody can be asked: the only one that is more than a host; undefined for none. */
export function chooseLikeliest(candidates: Candidate[]): Candidate | undefined {
  return candidates.find(({ isConfigured, site }) => isConfigured || site !== undefined);
}
