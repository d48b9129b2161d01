import type { Partition, Survey } from '../../cluster/survey.js';
import type { ResolvedCluster } from '../../config/cluster.js';
import type { Resources } from '../../config/resources.js';
import { formatBytes, formatDuration } from '../../progress.js';
import { explainRefusal } from '../../slurm/explain-refusal.js';
import { judgeRequest, matchesPattern, rulesIn } from '../../slurm/rules.js';
import type { Finding } from './finding.js';

type Judged = Pick<ResolvedCluster, 'name' | 'slurm'>;

const where = 'under resources: in hpcrun.yaml, or on the command line';

/** Compares what the project's jobs ask for with the site's rules and with what the cluster has. Nothing found means that it fits. */
export function judgeWishes(wishes: Resources, slurm: Survey['slurm'], cluster: Judged): Finding[] {
  const section = 'project';
  const { problems, notes } = judgeRequest(wishes, cluster.slurm ?? {});
  return [
    ...problems.map((message): Finding => ({
      section,
      name: 'site-rules',
      verdict: 'problem',
      message,
      remedy: `Say it ${where}.`,
      code: 'USAGE',
    })),
    ...notes.map((message): Finding => ({ section, name: 'site-rules', verdict: 'note', message })),
    ...judgePartition(wishes, slurm, cluster),
    ...judgeAccount(wishes, slurm),
  ];
}

/** The partitions a job could get into: those it names, or the default one. */
export function partitionsOf(
  { partition }: Pick<Resources, 'partition'>,
  { partitions }: Survey['slurm'],
): Partition[] {
  const names = partition?.split(',');
  return partitions.filter(({ name, isDefault }) => (names === undefined ? isDefault : names.includes(name)));
}

function judgePartition(wishes: Resources, slurm: Survey['slurm'], cluster: Judged): Finding[] {
  if (slurm.partitions.length === 0) return [];
  const section = 'project';
  const unknown = (wishes.partition?.split(',') ?? []).filter(
    (name) => !slurm.partitions.some((known) => known.name === name),
  );
  if (unknown.length > 0) {
    return [
      {
        section,
        name: 'partition',
        verdict: 'problem',
        message: `there is no partition ${unknown.join(', ')}`,
        remedy: `There are ${slurm.partitions.map(({ name }) => name).join(', ')}: choose ${where}.`,
        code: 'SLURM_REFUSED',
      },
    ];
  }
  const candidates = partitionsOf(wishes, slurm);
  if (candidates.length === 0) {
    return [
      {
        section,
        name: 'partition',
        verdict: 'warning',
        message: 'no partition is named, and there is no default one',
        remedy: `There are ${slurm.partitions.map(({ name }) => name).join(', ')}: choose ${where}.`,
      },
    ];
  }
  const complaints = candidates.map((candidate) => complaintsOf(wishes, candidate, cluster));
  // One of several that fits is enough for SLURM.
  if (complaints.some((each) => each.length === 0)) return [];
  return (complaints[0] ?? []).map(({ name, message, fits }) => {
    const others = slurm.partitions.filter(fits).map((other) => other.name);
    const advice = others.length > 0 ? ` It would fit into ${others.join(', ')}.` : '';
    return {
      section,
      name,
      verdict: 'problem',
      message,
      remedy: `Ask for less or for another partition, ${where}.${advice}`,
      code: 'SLURM_REFUSED',
    };
  });
}

interface Complaint {
  name: string;
  message: string;
  /** Whether another partition has what is missing here. */
  fits: (other: Partition) => boolean;
}

function complaintsOf(
  { time, gpus, cpus, memory, account }: Resources,
  partition: Partition,
  cluster: Judged,
): Complaint[] {
  const { name, maxSeconds } = partition;
  const complaints: Complaint[] = [];
  if (time !== undefined && maxSeconds !== undefined && time > maxSeconds) {
    complaints.push({
      name: 'time',
      message: `jobs in ${name} last ${formatDuration(maxSeconds)} at most, and ${formatDuration(time)} are asked for`,
      fits: (other) => other.maxSeconds === undefined || other.maxSeconds >= time,
    });
  }
  const hasGpus = ({ gpus: there }: Partition) =>
    !gpus || there.some(({ type, count }) => (gpus.type === undefined || type === gpus.type) && count >= gpus.count);
  // Where GPUs come with the partition, SLURM may not count them.
  if (gpus && gpus.count > 0 && rulesIn(cluster.slurm ?? {}, name).gpus.option !== 'none' && !hasGpus(partition)) {
    const there = partition.gpus.map(({ type, count }) => (type === undefined ? String(count) : `${type}:${count}`));
    complaints.push({
      name: 'gpus',
      message: `no node of ${name} has ${gpus.type === undefined ? gpus.count : `${gpus.type}:${gpus.count}`} GPUs: ${there.length === 0 ? 'there are none' : `there are ${there.join(', ')} a node`}`,
      fits: hasGpus,
    });
  }
  if (cpus !== undefined && cpus > partition.cpus) {
    complaints.push({
      name: 'cpus',
      message: `a node of ${name} has ${partition.cpus} cores, and ${cpus} are asked for`,
      fits: (other) => other.cpus >= cpus,
    });
  }
  const megabytes = memory === undefined ? undefined : inMegabytes(memory);
  if (megabytes !== undefined && megabytes > partition.memoryMb) {
    complaints.push({
      name: 'memory',
      message: `a node of ${name} has ${formatBytes(partition.memoryMb * 2 ** 20)}, and ${memory ?? ''} are asked for`,
      fits: (other) => other.memoryMb >= megabytes,
    });
  }
  if (account !== undefined && !isAllowed(account, partition)) {
    complaints.push({
      name: 'account',
      message: `the account ${account} may not use ${name}`,
      fits: (other) => isAllowed(account, other),
    });
  }
  return complaints;
}

/** Whether a partition lets an account in (slurm.conf man page: AllowAccounts, DenyAccounts). */
export function isAllowed(account: string, { allowedAccounts, deniedAccounts }: Partition): boolean {
  return allowedAccounts ? allowedAccounts.includes(account) : deniedAccounts?.includes(account) !== true;
}

function inMegabytes(memory: string): number | undefined {
  const match = /^(\d+)([KMGT])$/.exec(memory);
  return match ? Math.ceil((Number(match[1]) * 1024 ** 'KMGT'.indexOf(match[2] ?? 'K')) / 1024) : undefined;
}

/** How to mend what sbatch has said, as `submit` would say it. */
export function mendRefusal(said: string, { accounts }: Survey['slurm']): string {
  const names = [...new Set(accounts.map(({ name }) => `account ${name}`))];
  return explainRefusal(said, names.join('\n')).hint ?? `Change what it asks for ${where}.`;
}

function judgeAccount({ account, partition }: Resources, { accounts }: Survey['slurm']): Finding[] {
  if (account === undefined || accounts.length === 0) return [];
  const names = [...new Set(accounts.map(({ name }) => name))];
  const mine = accounts.filter(({ name }) => name === account);
  const fits = mine.some(
    ({ partition: pattern }) =>
      pattern === undefined ||
      partition === undefined ||
      partition.split(',').some((name) => matchesPattern(name, pattern)),
  );
  if (fits) return [];
  return [
    {
      section: 'project',
      name: 'account',
      verdict: 'problem',
      message:
        mine.length === 0 ? `you have no account ${account}` : `the account ${account} is not for ${partition ?? ''}`,
      remedy: `Yours are ${names.join(', ')}: choose ${where}.`,
      code: 'SLURM_REFUSED',
    },
  ];
}
