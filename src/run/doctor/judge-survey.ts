import type { Partition, Survey } from '../../cluster/survey.js';
import type { ResolvedCluster } from '../../config/cluster.js';
import { formatBytes, formatDuration } from '../../progress.js';
import type { Finding } from './finding.js';

type Judged = Pick<ResolvedCluster, 'name' | 'site' | 'root' | 'pollSeconds'>;

/** What the login node says of itself. */
export function judgeLogin(survey: Survey): Finding[] {
  const { user, host, architecture, kernel, shell, clockAheadSeconds } = survey;
  const shellName = shell.split('/').at(-1) ?? shell;
  const findings: Finding[] = [
    {
      section: 'login',
      name: 'login-node',
      verdict: 'ok',
      message: `${user} on ${host}: ${architecture}, kernel ${kernel}, login shell ${shellName}`,
    },
  ];
  // Neither a second is worth a word nor what a slow start of the login shell makes of it.
  if (Math.abs(clockAheadSeconds) < 120) return findings;
  const direction = clockAheadSeconds > 0 ? 'ahead of' : 'behind';
  findings.push({
    section: 'login',
    name: 'clock',
    verdict: 'warning',
    message: `its clock is ${formatDuration(Math.abs(clockAheadSeconds))} ${direction} this machine's`,
    remedy: 'One-time codes may be refused and times look strange: let this machine set its clock from the network.',
  });
  return findings;
}

/** SLURM: its commands, partitions, accounts and accounting. */
export function judgeSlurm({ slurm, modules }: Survey, cluster: Judged): Finding[] {
  const section = 'slurm';
  if (slurm.found === 'none') {
    const candidates = modules.filter((name) => /slurm/i.test(name));
    const remedy =
      candidates.length > 0
        ? `Name its module for ${cluster.name}: slurm: {modules: [${candidates[0] ?? ''}]}`
        : 'Is this the login node? If SLURM comes with a module, name it: slurm: {modules: [NAME]} of the cluster.';
    return [
      { section, name: 'commands', verdict: 'problem', message: 'there is no sbatch', remedy, code: 'SLURM_MISSING' },
    ];
  }
  const how = slurm.found === 'path' ? '' : `, found by ${slurm.found}`;
  const missing = ['sbatch', 'squeue', 'scancel'].filter((command) => !slurm.commands.includes(command));
  return [
    missing.length > 0
      ? {
          section,
          name: 'commands',
          verdict: 'problem',
          message: `SLURM ${slurm.version} is there, but not ${missing.join(', ')}`,
          remedy: 'Say what they are called there: slurm: {commands: {squeue: NAME}} of the cluster (docs/sites.md).',
          code: 'SLURM_MISSING',
        }
      : { section, name: 'commands', verdict: 'ok', message: `SLURM ${slurm.version}${how}` },
    ...slurm.complaints.map((message): Finding => ({
      section,
      name: 'complaint',
      verdict: 'warning',
      message: `it says: ${message}`,
      remedy: 'If it says so for longer, ask the site; jobs are not lost meanwhile.',
    })),
    judgePartitions(slurm.partitions),
    judgeAccounts(slurm),
    slurm.hasAccounting
      ? { section, name: 'accounting', verdict: 'ok', message: 'sacct knows ended jobs' }
      : {
          section,
          name: 'accounting',
          verdict: 'note',
          message: "accounting is off: of ended jobs, hpcrun knows what they left in the run's own files",
        },
  ];
}

function judgePartitions(partitions: Partition[]): Finding {
  const about = { section: 'slurm', name: 'partitions', details: partitions.map(describePartition) } as const;
  const usable = partitions.filter(({ isUp, usableNodes }) => isUp && usableNodes > 0);
  if (usable.length > 0) {
    return { ...about, verdict: 'ok', message: `${partitions.length} partition${partitions.length === 1 ? '' : 's'}` };
  }
  return {
    ...about,
    verdict: 'warning',
    message: partitions.length === 0 ? 'no partition is to be seen' : 'no partition has a node that could start a job',
    remedy: 'Look at the site\'s news for a maintenance, and at "sinfo" on the login node.',
  };
}

/** A partition in a line for people. */
export function describePartition(partition: Partition): string {
  const { name, isDefault, nodes, cpus, memoryMb, gpus, maxSeconds, usableNodes, isUp } = partition;
  return [
    `${name}${isDefault ? ' (default)' : ''}: ${nodes} node${nodes === 1 ? '' : 's'}`,
    ...(isUp ? [] : ['not up']),
    ...(usableNodes < nodes ? [`${nodes - usableNodes} out of service`] : []),
    `${cpus} cores`,
    formatBytes(memoryMb * 2 ** 20),
    ...gpus.map(({ type, count }) => `${count} ${type === undefined ? '' : `${type} `}GPU${count === 1 ? '' : 's'}`),
    maxSeconds === undefined ? 'no time limit' : `up to ${formatDuration(maxSeconds)}`,
  ].join(', ');
}

function judgeAccounts({ accounts, hasAccounting }: Survey['slurm']): Finding {
  const about = { section: 'slurm', name: 'accounts' } as const;
  const names = [...new Set(accounts.map(({ name }) => name))];
  if (names.length > 0) return { ...about, verdict: 'ok', message: `accounts: ${names.join(', ')}` };
  return {
    ...about,
    verdict: 'note',
    message: hasAccounting ? 'sacctmgr names no account of yours' : 'accounts are not known, since accounting is off',
  };
}

const littleBytes = 10e9;
const tooLittleBytes = 200e6;
const littleInodes = 10_000;
const tooLittleInodes = 200;

/** The place for hpcrun's files: whether it can be written, and what is left of it. */
export function judgeStorage(survey: Survey, cluster: Judged, root: string): Finding[] {
  const section = 'storage';
  if (!survey.root.isWritable) {
    return [
      {
        section,
        name: 'root',
        verdict: 'problem',
        message: `${root} cannot be written: ${survey.root.existing} belongs to somebody else`,
        remedy: `Set another "root:" for ${cluster.name}${suggestRoot(survey, root)}.`,
        code: 'REMOTE_COMMAND_FAILED',
      },
    ];
  }
  const { freeBytes, freeInodes, quotaLeftBytes, quotaLeftInodes } = survey.space;
  return [
    { section, name: 'root', verdict: 'ok', message: `hpcrun's files go to ${root}` },
    ...judgeRoom('room', smaller(freeBytes, quotaLeftBytes), [littleBytes, tooLittleBytes], formatBytes, survey, root),
    ...judgeRoom(
      'files',
      smaller(freeInodes, quotaLeftInodes),
      [littleInodes, tooLittleInodes],
      (count) => `${count.toLocaleString('en')} files`,
      survey,
      root,
    ),
  ];
}

function smaller(free: number | undefined, quota: number | undefined): { left: number; of: string } | undefined {
  if (free === undefined && quota === undefined) return undefined;
  return (quota ?? Infinity) < (free ?? Infinity)
    ? { left: quota ?? 0, of: 'your quota leaves' }
    : { left: free ?? 0, of: 'its file system has room for' };
}

function judgeRoom(
  name: string,
  room: { left: number; of: string } | undefined,
  [little, tooLittle]: [number, number],
  format: (left: number) => string,
  survey: Survey,
  root: string,
): Finding[] {
  if (!room)
    return [
      {
        section: 'storage',
        name,
        verdict: 'note',
        message: `how many ${name === 'room' ? 'bytes' : 'files'} are left is not known`,
      },
    ];
  const about = { section: 'storage', name, message: `${room.of} ${format(room.left)}` } as const;
  const remedy = `"hpcrun prune --dry-run" shows what could go there${suggestRoot(survey, root, '; or set "root:"')}.`;
  if (room.left < tooLittle) return [{ ...about, verdict: 'problem', remedy, code: 'REMOTE_DISK_FULL' }];
  return [room.left < little ? { ...about, verdict: 'warning', remedy } : { ...about, verdict: 'ok' }];
}

/** Another place that the login shell names, as the end of a sentence; empty where there is none. */
function suggestRoot({ places }: Survey, root: string, words = ''): string {
  const order = ['HPCWORK', 'SCRATCH', 'WORK'];
  const other = order.find((name) => {
    const path = places[name];
    return path !== undefined && !`${root}/`.startsWith(`${path}/`);
  });
  return other === undefined ? '' : `${words}, such as root: $${other}/hpcrun`;
}

/** The container program of the login node, which only some sites have there. */
export function judgeLoginContainer({ container, modules }: Survey): Finding {
  const about = { section: 'containers', name: 'login-node' } as const;
  const version = /\d+(?:\.\d+)+/.exec(container?.version ?? '')?.[0] ?? '';
  if (container) {
    const how = container.isSetuid === undefined ? '' : container.isSetuid ? ', setuid' : ', unprivileged';
    return { ...about, verdict: 'ok', message: `${container.path} ${version}${how} on the login node` };
  }
  const found = modules.filter((name) => /apptainer|singularity/i.test(name));
  const message = 'no Apptainer on the login node; jobs need one on the compute nodes only';
  return {
    ...about,
    verdict: 'note',
    message,
    ...(found.length > 0 ? { details: [`modules: ${found.join(', ')}`] } : {}),
  };
}
