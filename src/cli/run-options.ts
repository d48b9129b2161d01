import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseMount, parseVolume } from '../config/bind.js';
import { resumeRequestSchema } from '../config/resume.js';
import { resourcesSchema, type Resources } from '../config/resources.js';
import { conversions, type Conversion } from '../config/schema.js';
import { HpcrunError, isSystemError, messageOf } from '../errors.js';
import type { SubmitRequest } from '../run/plan.js';
import { parseSweepOption } from '../run/sweep/sweep-option.js';
import { multiplyTables, requireSweep, type Sweep } from '../run/sweep/sweep.js';
import type { CommonOptions, Context } from './context.js';

/** Options that say what a run is, wherever it runs. */
export interface RunOptions extends CommonOptions {
  name?: string;
  template?: string;
  gpus?: string;
  nodes?: string;
  tasks?: string;
  tasksPerNode?: string;
  cpus?: string;
  memory?: string;
  memPerCpu?: string;
  memPerGpu?: string;
  time?: string;
  partition?: string;
  account?: string;
  qos?: string;
  constraint?: string;
  reservation?: string;
  nodelist?: string;
  exclude?: string;
  dependency?: string;
  begin?: string;
  mailType?: string;
  mailUser?: string;
  sbatchArg?: string[];
  resume?: boolean;
  resumeBefore?: string;
  maxRestarts?: string;
  links?: string;
  sweep?: string[];
  sweepFile?: string;
  maxParallel?: string;
  env?: string[];
  envFile?: string[];
  volume?: string[];
  mount?: string[];
  buildArg?: string[];
  convert?: string;
  cache?: boolean;
}

/** What the user asked for, from words and options. Throws USAGE. */
export function parseRunRequest(words: string[], isCommand: boolean, options: RunOptions, cwd: string): SubmitRequest {
  return {
    words,
    isCommand,
    ...(options.name === undefined ? {} : { name: parseName(options.name) }),
    ...parseTemplate(options),
    resources: parseResources(options),
    ...parseResume(options),
    // As in Docker, --env goes before what stands in a file.
    env: [...(options.envFile ?? []).flatMap((path) => readEnvFile(resolve(cwd, path))), ...(options.env ?? [])],
    binds: [...(options.volume ?? []).map(parseVolume), ...(options.mount ?? []).map(parseMount)],
    buildArgs: options.buildArg ?? [],
    ...(options.convert === undefined ? {} : { conversion: parseConversion(options.convert) }),
    noCache: options.cache === false,
  };
}

/** What `--sweep`, `--sweep-file` and `--max-parallel` say; undefined without a sweep. Throws USAGE. */
export async function readSweep(
  { sweep = [], sweepFile, maxParallel }: Pick<RunOptions, 'sweep' | 'sweepFile' | 'maxParallel'>,
  cwd: string,
): Promise<Sweep | undefined> {
  const isNumber = maxParallel === undefined || /^[1-9]\d{0,5}$/.test(maxParallel);
  if (!isNumber || (maxParallel !== undefined && sweep.length === 0 && sweepFile === undefined)) {
    throw new HpcrunError(
      'USAGE',
      isNumber
        ? '--max-parallel is for sweeps'
        : `--max-parallel ${JSON.stringify(maxParallel)} is not a number of tasks`,
      { hint: 'hpcrun submit --sweep seed=1..100 --max-parallel 10 train.py' },
    );
  }
  if (sweep.length === 0 && sweepFile === undefined) return undefined;
  const tables = [
    ...(sweepFile === undefined
      ? []
      : [await (await import('../run/sweep/sweep-file.js')).readSweepFile(resolve(cwd, sweepFile))]),
    ...sweep.map(parseSweepOption),
  ];
  for (const table of tables) requireSweep(table);
  const table = multiplyTables(tables);
  requireSweep(table);
  return { ...table, ...(maxParallel === undefined ? {} : { maxParallel: Number(maxParallel) }) };
}

const ownOptions = [
  ...[
    '--template',
    '--nodes',
    '--tasks',
    '--tasks-per-node',
    '--gpus',
    '--cpus',
    '--memory',
    '--partition',
    '--account',
    '--cluster',
    '--engine',
  ],
  ...['--qos', '--constraint', '--reservation', '--dependency', '--begin', '--nodelist', '--sbatch-arg'],
  ...['--wait', '--dry-run', '--resume', '--links', '--sweep', '--sweep-file', '--max-parallel'],
  ...['--offline', '--entrypoint', '--workdir'],
];

/** The most common slip: options of hpcrun's behind the script, where they are the script's. */
export function warnOfLateOptions({ terminal }: Context, words: string[], isCommand: boolean): void {
  const [script, ...args] = words;
  const late = args.find((word) => ownOptions.includes(word.replace(/=.*/s, '')));
  if (isCommand || script === undefined || late === undefined) return;
  terminal.note(`${late} stands behind ${script} and goes to it; for hpcrun it has to stand before.`);
}

/** `--convert`. Throws USAGE. */
export function parseConversion(text: string): Conversion {
  const known = conversions.find((each) => each === text);
  if (known !== undefined) return known;
  throw new HpcrunError('USAGE', `there is no way "${text}" to convert an image`, {
    hint: `--convert ${conversions.join(' | ')}`,
  });
}

function parseName(name: string): string {
  if (/^[\w.+-]{1,64}$/.test(name)) return name;
  throw new HpcrunError('USAGE', `--name "${name}" must be up to 64 letters, digits and . _ + -`, {
    hint: '--name baseline-2',
  });
}

const count = (text: string | undefined) => (text === undefined ? undefined : Number(text));

function parseResources(options: RunOptions): Resources {
  const given = {
    gpus: options.gpus,
    nodes: count(options.nodes),
    tasks: count(options.tasks),
    tasksPerNode: count(options.tasksPerNode),
    cpus: count(options.cpus),
    memory: options.memory,
    memoryPerCpu: options.memPerCpu,
    memoryPerGpu: options.memPerGpu,
    time: options.time,
    partition: options.partition,
    account: options.account,
    qos: options.qos,
    constraint: options.constraint,
    reservation: options.reservation,
    nodelist: options.nodelist,
    exclude: options.exclude,
    dependency: options.dependency,
    begin: options.begin,
    mailType: options.mailType,
    mailUser: options.mailUser,
    sbatchArgs: options.sbatchArg,
  };
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const result = resourcesSchema.safeParse(present);
  if (result.success) return result.data;
  const lines = result.error.issues.map(({ path, message }) => `${flagOf(String(path[0]))}: ${message}`);
  throw new HpcrunError('USAGE', lines.join('\n'), { hint: 'hpcrun submit --help' });
}

/** `--links` alone asks for a chain, too. */
function parseTemplate({ template, links }: RunOptions): Pick<SubmitRequest, 'template'> {
  const name = template ?? (links === undefined ? undefined : 'chain');
  return name === undefined ? {} : { template: name };
}

/** What is said of the time limit, if anything. Throws USAGE. */
function parseResume(options: RunOptions): Pick<SubmitRequest, 'resume'> {
  const { resume, resumeBefore, maxRestarts, links } = options;
  if (resume === false) return { resume };
  const given = {
    before: resumeBefore,
    maxRestarts: maxRestarts === undefined ? undefined : Number(maxRestarts),
    links: links === undefined ? undefined : Number(links),
  };
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  if (Object.keys(present).length === 0) return resume === undefined ? {} : { resume };
  const result = resumeRequestSchema.safeParse(present);
  if (result.success) return { resume: result.data };
  const flags: Record<string, string> = { before: '--resume-before', maxRestarts: '--max-restarts', links: '--links' };
  const lines = result.error.issues.map(({ path, message }) => `${flags[String(path[0])] ?? '--resume'}: ${message}`);
  throw new HpcrunError('USAGE', lines.join('\n'), { hint: 'hpcrun submit --help' });
}

/** The option by which a key of `resources:` is given: `mailType` as `--mail-type`. */
function flagOf(key: string): string {
  if (key === 'sbatchArgs') return '--sbatch-arg';
  if (key.startsWith('memoryPer')) return `--mem-per-${key.slice('memoryPer'.length).toLowerCase()}`;
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function readEnvFile(path: string): string[] {
  try {
    return parseEnvFile(readFileSync(path, 'utf8'));
  } catch (error) {
    if (!['ENOENT', 'EACCES', 'EISDIR'].some((code) => isSystemError(error, code))) throw error;
    throw new HpcrunError('USAGE', `--env-file: ${messageOf(error)}`, { hint: 'It holds a NAME=value a line.' });
  }
}

/**
 * `NAME=value` or `NAME` a line, everything behind the first `=` as it stands; empty lines and those that begin with `#` are
 * passed over (docker run manual, --env-file).
 */
export function parseEnvFile(text: string): string[] {
  return text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map((line) => line.replace(/^\s+/, ''))
    .filter((line) => line !== '' && !line.startsWith('#'));
}
