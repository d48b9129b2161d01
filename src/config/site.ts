import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { HpcrunError, isMissing } from '../errors.js';
import { packageDirectory } from '../package-directory.js';
import { closest } from '../suggest.js';
import type { Directories } from './directories.js';
import { resourcesSchema } from './resources.js';
import { namePatterns, remotePath, siteSettings } from './site-settings.js';
import { loadYamlFile } from './yaml-file.js';

const hostName = z.string().regex(/^[\w.-]+$/, 'is not a host name');

/** A site: what its documentation says that hpcrun has to know. */
export const siteSchema = z.strictObject({
  /** For people. */
  title: z.string().min(1),
  documentation: z.url().optional(),
  /** By which a cluster is known to be of this site. */
  hosts: namePatterns.min(1),
  /** The first is taken where the user names none. */
  login: z.array(hostName).min(1).optional(),
  transfer: z.array(hostName).optional(),
  jump: hostName.optional(),
  /** What is asked for beside a key or a password, for people. */
  secondFactor: z.string().min(1).optional(),
  /** Go's name, such as `arm64`, where it is not amd64. */
  architecture: z.string().min(1).optional(),
  /** Where hpcrun's files should be; `{account}` in it has to be replaced. */
  root: remotePath.optional(),
  /** Variables of the login shell that name places for data. */
  places: z.array(z.string().regex(/^[A-Z_][A-Z0-9_]*$/, 'is not the name of a variable')).optional(),
  /** What users should know, a sentence each. */
  advice: z.array(z.string().min(1)).optional(),
  /** What holds of its clusters where nobody says otherwise; the keys are those of a cluster in hpcrun.yaml. */
  cluster: z.strictObject({ resources: resourcesSchema.optional(), ...siteSettings }).optional(),
});

export type SiteFile = z.output<typeof siteSchema>;

/** A site by the name of its file. */
export interface Site extends SiteFile {
  name: string;
}

/** Directories with site files: the user's own go before hpcrun's. */
function siteDirectories(directories: Directories): string[] {
  return [join(directories.config, 'sites'), join(packageDirectory(), 'sites')];
}

/** The site `name` from `sites/<name>.yaml`. Throws CONFIG_INVALID for one that is not there or not valid. */
export async function loadSite(name: string, directories: Directories): Promise<Site> {
  for (const directory of siteDirectories(directories)) {
    const path = join(directory, `${name}.yaml`);
    if (!existsSync(path)) continue;
    const file = await loadYamlFile(path, siteSchema);
    if (file) return { ...file, name };
  }
  const known = await listSiteNames(directories);
  const close = closest(name, known);
  throw new HpcrunError(
    'CONFIG_INVALID',
    `there is no site "${name}"${close === undefined ? '' : `; did you mean "${close}"?`}`,
    {
      hint: `Known are ${known.join(', ')}. A new one is one file, ${join(directories.config, 'sites', `${name}.yaml`)}: docs/sites.md.`,
    },
  );
}

/** The names of all sites, in order. */
export async function listSiteNames(directories: Directories): Promise<string[]> {
  const names = new Set<string>();
  for (const directory of siteDirectories(directories)) {
    for (const file of await listFiles(directory)) {
      if (file.endsWith('.yaml')) names.add(file.slice(0, -'.yaml'.length));
    }
  }
  return [...names].sort();
}

async function listFiles(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** All sites. Throws CONFIG_INVALID for a file that is not valid. */
export async function loadSites(directories: Directories): Promise<Site[]> {
  const names = await listSiteNames(directories);
  return await Promise.all(names.map((name) => loadSite(name, directories)));
}

/** The site a host belongs to, by its name; the longest pattern that fits is the most telling one. */
export function findSite(host: string, sites: Site[]): Site | undefined {
  const matches = sites.flatMap((site) =>
    site.hosts.filter((pattern) => matchesHost(host, pattern)).map((pattern) => ({ site, length: pattern.length })),
  );
  return matches.sort((a, b) => b.length - a.length)[0]?.site;
}

function matchesHost(host: string, pattern: string): boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll('.', '\\.'));
  return new RegExp(`^${parts.join('.*')}$`, 'i').test(host);
}
