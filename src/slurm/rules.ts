import type { ResourceRequest } from './directives.js';
import { tasksOnNode } from './tasks.js';

/** What is asked for in the words of sbatch itself. */
export const plainOptions = {
  partition: 'partition',
  account: 'account',
  qos: 'qos',
  constraint: 'constraint',
  reservation: 'reservation',
  exclude: 'exclude',
  nodelist: 'nodelist',
  dependency: 'dependency',
  begin: 'begin',
  mailType: 'mail-type',
  mailUser: 'mail-user',
} as const satisfies Partial<Record<keyof ResourceRequest, string>>;

/** What a site says of GPUs. */
export interface GpuRules {
  /** The option of sbatch by which GPUs are asked for; `none` where nodes of a partition have them and nothing is asked. */
  option?: 'gres' | 'gpus' | 'gpus-per-node' | 'none' | undefined;
  vendor?: 'nvidia' | 'amd' | undefined;
  /** Whether a type has to be named. */
  typeRequired?: boolean | undefined;
  types?: string[] | undefined;
  /** How many a node has. */
  perNode?: number | undefined;
  /** Cores that come with each; asked for where the user says nothing. */
  cpusPerGpu?: number | undefined;
  /** Further options of sbatch for jobs with GPUs, such as `constraint: gpu`. */
  directives?: Record<string, string> | undefined;
}

/** Rules that hold in one partition; they go before those of the site. */
export interface PartitionRules {
  account?: 'required' | 'forbidden' | undefined;
  gpus?: GpuRules | undefined;
}

/** What a site demands of a job, in the words of the sbatch man page. Everything may be left out. */
export interface SlurmRules {
  required?: ('account' | 'time' | 'partition' | 'memory' | 'cpus')[] | undefined;
  /** Options of sbatch that are refused there, without the dashes. */
  forbidden?: string[] | undefined;
  /** Options that every job needs. */
  directives?: Record<string, string> | undefined;
  /** Options of jobs without GPUs. */
  cpuDirectives?: Record<string, string> | undefined;
  memoryOption?: 'mem' | 'mem-per-cpu' | undefined;
  gpus?: GpuRules | undefined;
  /** By name; `*` stands for any characters. */
  partitions?: Record<string, PartitionRules> | undefined;
}

/**
 * The rules for jobs of a partition, or of the default one; for `a,b`, which SLURM may put into either, those of the first that has any.
 */
export function rulesIn(
  rules: SlurmRules,
  partition: string | undefined,
): { gpus: GpuRules; account: PartitionRules['account'] } {
  const own = partition
    ?.split(',')
    .map((name) => Object.entries(rules.partitions ?? {}).find(([pattern]) => matchesPattern(name, pattern))?.[1])
    .find((each) => each !== undefined);
  const account = own?.account ?? (rules.required?.includes('account') ? 'required' : undefined);
  return { gpus: { ...rules.gpus, ...own?.gpus }, account };
}

/** Whether `name` is what a pattern with `*` describes. */
export function matchesPattern(name: string, pattern: string): boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 'i').test(name);
}

/** What is asked for under a site's rules: cores that come with GPUs added, an account left out where none may be named. */
export function applyRules(asked: ResourceRequest, rules: SlurmRules): ResourceRequest {
  const { gpus, account } = rulesIn(rules, asked.partition);
  const count = asked.gpus?.count ?? 0;
  const coresOfNode = count > 0 && gpus.cpusPerGpu !== undefined ? count * gpus.cpusPerGpu : undefined;
  const shared = coresOfNode === undefined ? undefined : Math.max(1, Math.floor(coresOfNode / tasksOnNode(asked)));
  const cpus = asked.cpus ?? shared;
  return {
    ...asked,
    ...(cpus === undefined ? {} : { cpus }),
    ...(account === 'forbidden' ? { account: undefined } : {}),
  };
}

/** What sbatch would refuse, and what is left out for it: sentences for the user. */
export interface Judgement {
  problems: string[];
  notes: string[];
}

/** Compares what is asked for with a site's rules. */
export function judgeRequest(asked: ResourceRequest, rules: SlurmRules): Judgement {
  const { gpus, account } = rulesIn(rules, asked.partition);
  const where = asked.partition === undefined ? 'here' : `in the partition ${asked.partition}`;
  const count = asked.gpus?.count ?? 0;
  const problems: string[] = [];
  const notes: string[] = [];
  const memory = asked.memory ?? asked.memoryPerCpu ?? asked.memoryPerGpu;
  const given = { ...asked, memory };
  for (const key of ['time', 'partition', 'memory', 'cpus'] as const) {
    if (rules.required?.includes(key) && given[key] === undefined) problems.push(`a job needs --${key}`);
  }
  if (account === 'required' && asked.account === undefined) problems.push(`a job needs --account ${where}`);
  if (account === 'forbidden' && asked.account !== undefined) {
    notes.push(`${where}, no account may be named; ${asked.account} is left out.`);
  }
  const type = asked.gpus?.type;
  if (count > 0 && gpus.typeRequired && type === undefined) {
    problems.push(`GPUs need a type, such as --gpus ${gpus.types?.[0] ?? 'TYPE'}:${count}`);
  }
  if (count > 0 && type !== undefined && gpus.types && !gpus.types.includes(type)) {
    notes.push(`GPUs of the type ${type} are not known ${where}; known are ${gpus.types.join(', ')}.`);
  }
  if (gpus.perNode !== undefined && count > gpus.perNode) {
    problems.push(`a node has ${gpus.perNode} GPUs ${where}, and ${count} are asked for`);
  }
  const gpuOption = gpus.option ?? 'gres';
  if (count > 0 && rules.forbidden?.includes(gpuOption)) {
    problems.push(
      `GPUs would be asked for by --${gpuOption}, which is refused ${where}: say slurm: {gpus: {option: …}} of the cluster`,
    );
  }
  if (count > 0 && gpus.option === 'none') notes.push('GPUs come with the partition; their number is not asked for.');
  const memoryOption = rules.memoryOption ?? 'mem';
  if (asked.memory !== undefined && rules.forbidden?.includes(memoryOption)) {
    notes.push('A job cannot ask for memory there; it gets what comes with its nodes or cores.');
  }
  const words = [
    ...Object.entries(plainOptions).flatMap(([key, name]) => (asked[key as keyof typeof plainOptions] ? [name] : [])),
    ...(asked.sbatchArgs ?? []).map(({ name }) => name),
  ];
  for (const name of words)
    if (rules.forbidden?.includes(name)) notes.push(`--${name} is refused there; it is left out.`);
  return { problems, notes };
}

/** An option of sbatch, without the dashes, and its value if it has one. */
export type SbatchOption = [name: string, value: string | undefined];

/** How memory is asked for: of a node as the user wrote it, or what each core gets of it. */
export function memoryOptions(request: ResourceRequest, { memoryOption = 'mem' }: SlurmRules): SbatchOption[] {
  const { memory, memoryPerCpu, memoryPerGpu, cpus = 1 } = request;
  if (memoryPerCpu !== undefined) return [['mem-per-cpu', memoryPerCpu]];
  if (memoryPerGpu !== undefined) return [['mem-per-gpu', memoryPerGpu]];
  if (memory === undefined) return [];
  const match = /^(\d+)([KMGT])$/.exec(memory);
  if (memoryOption === 'mem' || !match) return [[memoryOption, memory]];
  const kibibytes = Number(match[1]) * 1024 ** 'KMGT'.indexOf(match[2] ?? 'K');
  return [['mem-per-cpu', `${Math.ceil(kibibytes / 1024 / cpus / tasksOnNode(request))}M`]];
}

/** How GPUs are asked for in the partition. */
export function gpuOptions({ gpus, partition, nodes = 1 }: ResourceRequest, rules: SlurmRules): SbatchOption[] {
  const { option = 'gres' } = rulesIn(rules, partition).gpus;
  if (gpus === undefined || gpus.count === 0 || option === 'none') return [];
  const amount = gpus.type === undefined ? String(gpus.count) : `${gpus.type}:${gpus.count}`;
  if (option === 'gres') return [['gres', `gpu:${amount}`]];
  // GPUs are those of a node here, and those of the whole job in sbatch's --gpus.
  return [[option === 'gpus' && nodes > 1 ? 'gpus-per-node' : option, amount]];
}

/** What the site wants of every job, of those with GPUs, or of those without. */
export function siteOptions({ gpus, partition }: ResourceRequest, rules: SlurmRules): SbatchOption[] {
  const wantsGpus = (gpus?.count ?? 0) > 0;
  const further = wantsGpus ? rulesIn(rules, partition).gpus.directives : rules.cpuDirectives;
  return Object.entries({ ...rules.directives, ...further });
}
