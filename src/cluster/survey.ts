import { z } from 'zod';
import { join } from 'node:path';
import type { ResolvedCluster } from '../config/cluster.js';
import { readJsonFile, writeAtomically } from '../local-file.js';
import type { Connection } from '../ssh/connection.js';
import { runRemote } from '../ssh/remote-script.js';
import { printable } from '../ssh/terminal-text.js';
import { goArchitecture } from './probe.js';
import { parseAccounts, parseLimits, parsePartitions } from './survey-slurm.js';
import { parseSpace } from './space.js';
import { renderSurvey, surveyMark } from './survey-script.js';

const gpuSchema = z.object({ type: z.string().optional(), count: z.int() });

const partitionSchema = z.object({
  name: z.string(),
  isDefault: z.boolean(),
  isUp: z.boolean(),
  /** The longest that a job may ask for; undefined for no limit. */
  maxSeconds: z.number().optional(),
  /** Where a job does not say. */
  defaultSeconds: z.number().optional(),
  nodes: z.int(),
  /** Nodes that could start a job now or later: neither down nor drained. */
  usableNodes: z.int(),
  /** Of the largest node. */
  cpus: z.int(),
  memoryMb: z.int(),
  /** By type, of the node that has the most of it. */
  gpus: z.array(gpuSchema),
  /** Undefined for all. */
  allowedAccounts: z.array(z.string()).optional(),
  deniedAccounts: z.array(z.string()).optional(),
  allowedQos: z.array(z.string()).optional(),
});

export type Partition = z.output<typeof partitionSchema>;

const surveySchema = z.object({
  /** Go's name, such as `amd64`. */
  architecture: z.string(),
  kernel: z.string(),
  host: z.string(),
  shell: z.string(),
  /** Seconds by which its clock is ahead of this machine's. */
  clockAheadSeconds: z.number(),
  user: z.string(),
  groups: z.array(z.string()),
  /** Variables of the login shell that name directories one may write to. */
  places: z.record(z.string(), z.string()),
  /** Modules that look like Apptainer or SLURM. */
  modules: z.array(z.string()),
  slurm: z.object({
    /** `path`, `login shell`, `module`, or `none`. */
    found: z.string(),
    /** Such as `24.11.5`; empty where unknown. */
    version: z.string(),
    commands: z.array(z.string()),
    hasAccounting: z.boolean(),
    maxArraySize: z.int().optional(),
    maxJobCount: z.int().optional(),
    partitions: z.array(partitionSchema),
    /** Empty where accounting does not tell. */
    accounts: z.array(z.object({ name: z.string(), partition: z.string().optional(), qos: z.array(z.string()) })),
    /** What its commands complained of. */
    complaints: z.array(z.string()),
  }),
  /** Of the login node; compute nodes may have another, or the only one. */
  container: z.object({ path: z.string(), version: z.string(), isSetuid: z.boolean().optional() }).optional(),
  hasUserNamespaces: z.boolean(),
  mksquashfs: z.string().optional(),
  root: z.object({ existing: z.string(), isWritable: z.boolean() }),
  space: z.object({
    freeBytes: z.number().optional(),
    freeInodes: z.number().optional(),
    quotaLeftBytes: z.number().optional(),
    quotaLeftInodes: z.number().optional(),
  }),
});

/** What one look around a login node has told. */
export type Survey = z.output<typeof surveySchema>;

const cacheSchema = z.object({ question: z.string(), askedAt: z.number(), survey: surveySchema });

const validForMs = 24 * 60 * 60 * 1000;

/** Surveys a cluster in one remote command; what was learned within a day is taken unless `refresh` is set. */
export async function learnSurvey(
  cluster: ResolvedCluster,
  root: string,
  connect: () => Promise<Connection>,
  { refresh, signal }: { refresh: boolean; signal: AbortSignal },
): Promise<Survey> {
  const { host, port, user, slurm } = cluster;
  const question = JSON.stringify([host, port, user, root, slurm]);
  const file = join(cluster.stateDirectory, 'survey.json');
  if (!refresh) {
    const known = await readJsonFile(file, cacheSchema);
    if (known?.question === question && Date.now() - known.askedAt < validForMs) return known.survey;
  }
  const { stdout } = await runRemote(await connect(), 'looking around', renderSurvey(root), { signal });
  const askedAt = Date.now();
  const survey = parseSurvey(stdout.toString('utf8'), askedAt / 1000);
  // What could not be found out may be there in a minute, or after a change of a start-up file.
  const isWhole = survey.slurm.found !== 'none' && survey.slurm.complaints.length === 0;
  if (isWhole) await writeAtomically(file, JSON.stringify({ question, askedAt, survey }));
  return survey;
}

/** What the script printed. Throws a ZodError only if the script itself is broken. `nowSeconds` is this machine's time. */
export function parseSurvey(text: string, nowSeconds: number): Survey {
  const sections = new Map(
    printable(text)
      .split(`${surveyMark} section `)
      .map((part): [string, string[]] => {
        const [name = '', ...lines] = part.split('\n');
        return [name, lines.filter((line) => line.trim() !== '')];
      }),
  );
  const linesOf = (name: string) => (sections.get(name) ?? []).filter((line) => !line.startsWith(`${surveyMark} `));
  const hasFailed = (name: string) => (sections.get(name) ?? []).some((line) => line.startsWith(`${surveyMark} `));
  const [machine = '', kernel = '', host = '', shell = '', time = ''] = linesOf('system');
  const [user = '', groups = ''] = linesOf('user');
  const [existing = '/', writable] = linesOf('root');
  const config = parseLimits(linesOf('config'));
  const asked = ['sinfo', 'partitions', 'config', ...(config.hasAccounting ? ['accounts'] : [])];
  return surveySchema.parse({
    architecture: goArchitecture(machine),
    kernel,
    host,
    shell,
    clockAheadSeconds: Number(time) - Math.round(nowSeconds),
    user,
    groups: groups.split(' '),
    places: Object.fromEntries(
      linesOf('places').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    ),
    // Lmod names a module's directory, too, with a slash behind it.
    modules: linesOf('modules')
      .map((line) => line.replace(/\(.*\)$/, '').trim())
      .filter((name) => !name.endsWith('/')),
    slurm: {
      found: linesOf('slurm')[0] ?? 'none',
      version: /(\d+\.\d+(?:\.\d+)?)/.exec(linesOf('version')[0] ?? '')?.[1] ?? '',
      commands: linesOf('commands'),
      ...config,
      partitions: hasFailed('sinfo') ? [] : parsePartitions(linesOf('sinfo'), linesOf('partitions')),
      accounts: hasFailed('accounts') ? [] : parseAccounts(linesOf('accounts')),
      complaints: asked.filter(hasFailed).flatMap((name) => linesOf(name).slice(-1)),
    },
    ...parseContainer(linesOf('container')),
    hasUserNamespaces: linesOf('namespaces')[0] === 'yes',
    mksquashfs: /(\d+\.\d+(?:\.\d+)?)/.exec(linesOf('mksquashfs')[0] ?? '')?.[1],
    root: { existing, isWritable: writable === 'writable' },
    space: parseSpace((sections.get('space') ?? []).join('\n')),
  });
}

function parseContainer([path, version = '', suid]: string[]): Pick<Survey, 'container'> {
  if (path === undefined) return {};
  const isSetuid = suid === undefined ? {} : { isSetuid: suid.endsWith('=1') };
  return { container: { path, version, ...isSetuid } };
}
