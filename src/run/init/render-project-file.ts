import { stringify } from 'yaml';
import { formatDuration } from '../../progress.js';
import { printable } from '../../ssh/terminal-text.js';
import type { Survey } from '../../cluster/survey.js';
import { describePartition } from '../doctor/judge-survey.js';
import type { Candidate } from './candidates.js';
import type { Guess } from './guess.js';

export interface ProjectFile {
  dockerfile: string | undefined;
  cluster: Candidate | undefined;
  /** On the cluster, if it is not the one of the user's SSH configuration. */
  user: string | undefined;
  guess: Guess;
  survey: Survey | undefined;
}

/** The first hpcrun.yaml of a project, with what could be said and was not as comments. */
export function renderProjectFile(file: ProjectFile): string {
  const { cluster, dockerfile } = file;
  const lines = [
    '# How hpcrun runs this project; docs/configuration.md lists every key. Check it with: hpcrun doctor',
    cluster
      ? setting('cluster', cluster.name, cluster.title)
      : comment(
          'cluster: NAME # one of the clusters below or of your config.yaml; without any, the sandbox if it is up',
        ),
    '',
    'image:',
    `  ${setting('dockerfile', dockerfile ?? 'Dockerfile', dockerfile === undefined ? 'there is none yet' : undefined)}`,
    '',
    ...renderResources(file),
    '',
    '# Directories of the cluster that a job sees, as in docker run -v; variables are those of the cluster.',
    comment('binds:'),
    comment(`  - ${dataPlace(file)}/datasets:/data:ro`),
    '',
    '# Variables of a job. Secrets are taken from your environment when you submit, and written down nowhere.',
    comment('env: { WANDB_MODE: offline }'),
    comment('secrets: [WANDB_API_KEY]'),
    '',
    '# What pull-results leaves on the cluster; patterns as in .gitignore.',
    comment("results: { exclude: ['*.ckpt'] }"),
    ...renderCluster(file),
  ];
  return `${lines.join('\n')}\n`;
}

function renderResources({ guess, survey, cluster }: ProjectFile): string[] {
  const { partition, others, account, otherAccounts, gpus, gpuTypes } = guess;
  const required = cluster?.site?.cluster?.slurm?.required ?? [];
  const open = (key: string, example: string) =>
    comment(`${key}: ${example}${(required as string[]).includes(key) ? ' # has to be said on this cluster' : ''}`);
  const types = gpuTypes.length > 0 ? `, such as ${gpuTypes[0] ?? ''}:1` : '';
  const limit = partition?.maxSeconds;
  const seconds = Math.min(3600, limit ?? 3600);
  return [
    '# What a job asks SLURM for; hpcrun submit --time 2h and the like go first.',
    'resources:',
    `  ${gpus === undefined ? comment(`gpus: 1 # or a type and a number${types}`) : setting('gpus', /^\d+$/.test(gpus) ? Number(gpus) : gpus, `or a type and a number${types}`)}`,
    `  ${open('cpus', '8')}`,
    `  ${open('memory', '32G')}`,
    `  ${setting('time', seconds % 3600 === 0 ? `${seconds / 3600}h` : `${Math.floor(seconds / 60)}m`, limit === undefined ? undefined : `at most ${formatDuration(limit)} in ${partition?.name ?? ''}`)}`,
    `  ${partition === undefined ? open('partition', 'NAME') : setting('partition', partition.name, others.length > 0 ? `or ${others.join(', ')}` : undefined)}`,
    `  ${account === undefined ? open('account', 'NAME') : setting('account', account, otherAccounts.length > 0 ? `or ${otherAccounts.join(', ')}` : undefined)}`,
    ...(survey?.slurm.partitions ?? []).map((each) => `  ${comment(`  ${describePartition(each)}`)}`),
  ];
}

function renderCluster({ cluster, user, guess }: ProjectFile): string[] {
  if (!cluster || cluster.isConfigured) return [];
  const { site, host } = cluster;
  const root = site?.root?.replaceAll('{account}', guess.account ?? '{account}');
  return [
    '',
    '# What others on this project share. What only concerns you (user, identityFile) may be said in ~/.config/hpcrun/config.yaml.',
    'clusters:',
    `  ${scalar(cluster.name)}:`,
    ...(site ? [`    ${setting('site', site.name, site.title)}`] : []),
    ...(host === undefined
      ? (site?.login ?? []).length > 0
        ? []
        : [`    ${comment('host: NAME # where one logs in; hpcrun does not know it of this site')}`]
      : [`    ${setting('host', host)}`]),
    `    ${user === undefined ? comment('user: NAME # on the cluster, if your SSH configuration does not say') : setting('user', user)}`,
    // Of a site, the place is known; it is written out only where something in it had to be filled in.
    root === undefined || root.includes('{')
      ? `    ${comment(`root: ${root ?? '$SCRATCH/hpcrun'} # where hpcrun keeps images and runs there; default: ~/hpcrun`)}`
      : site?.root === root
        ? `    ${comment(`root: ${root} # where hpcrun keeps images and runs there, as the site says`)}`
        : `    ${setting('root', root)}`,
    ...(site?.secondFactor === undefined
      ? []
      : [`    ${comment(`The login wants ${site.secondFactor}: "hpcrun connect" asks once for many commands.`)}`]),
    ...(site?.advice ?? []).map((text) => `    ${comment(text)}`),
  ];
}

function dataPlace({ survey, cluster }: ProjectFile): string {
  const known = [...Object.keys(survey?.places ?? {}), ...(cluster?.site?.places ?? [])];
  const best = ['HPCWORK', 'SCRATCH', 'WORK', 'PROJECT'].find((name) => known.includes(name));
  return `$${best ?? 'HOME'}`;
}

function setting(key: string, value: string | number, remark?: string): string {
  return `${key}: ${scalar(value)}${remark === undefined ? '' : ` # ${oneLine(remark)}`}`;
}

/** On one line, in quotes where YAML would read something else (a JSON string is one of YAML's). */
function scalar(value: string | number): string {
  const plain = stringify(value).trimEnd();
  return plain === String(value) && !plain.includes('\n') ? plain : JSON.stringify(value);
}

function comment(text: string): string {
  return `# ${oneLine(text)}`;
}

/** Titles and names come from elsewhere: a line feed in one must not end its comment. */
function oneLine(text: string): string {
  return printable(text).replaceAll(/\s*[\r\n]+\s*/g, ' ');
}
