import { parseTime } from '../config/quantities.js';
import type { Partition, Survey } from './survey.js';

/** Node states (sinfo man page, NODE STATE CODES) from which no job starts until somebody mends the node. */
const unusable = /^(?:down|drain|fail|unknown|maint|power_down|reboot|inval|future|planned_down)/;

/**
 * Partitions from `sinfo -o '%P|%a|%l|%D|%c|%m|%G|%T'`, a line for each kind of node in each state, and from
 * `scontrol show partition -o`, which knows who may use them. Sizes that end in + are of the smallest node of several.
 */
export function parsePartitions(sinfo: string[], scontrol: string[]): Partition[] {
  const partitions = new Map<string, Partition>();
  for (const line of sinfo) {
    const [rawName = '', available, limit = '', nodes, cpus = '', memory = '', gres = '', state = ''] = line.split('|');
    if (available === undefined || state === '') continue;
    const name = rawName.replace(/\*$/, '');
    const count = Number(nodes);
    const usable = unusable.test(state) ? 0 : count;
    const known = partitions.get(name);
    const maxSeconds = parseLimit(limit);
    partitions.set(name, {
      name,
      isDefault: rawName.endsWith('*'),
      isUp: available === 'up',
      ...(maxSeconds === undefined ? {} : { maxSeconds }),
      nodes: count + (known?.nodes ?? 0),
      usableNodes: usable + (known?.usableNodes ?? 0),
      cpus: Math.max(Number.parseInt(cpus, 10) || 0, known?.cpus ?? 0),
      memoryMb: Math.max(Number.parseInt(memory, 10) || 0, known?.memoryMb ?? 0),
      gpus: mergeGpus(known?.gpus ?? [], parseGres(gres)),
      ...accessOf(name, scontrol),
    });
  }
  return [...partitions.values()];
}

/** SLURM's time limits; undefined for none. */
function parseLimit(text: string): number | undefined {
  return /^(?:infinite|unlimited|n\/a|none)$/i.test(text) ? undefined : parseTime(text);
}

function accessOf(name: string, scontrol: string[]): Partial<Partition> {
  const line = scontrol.find((text) => text.startsWith(`PartitionName=${name} `));
  const field = (key: string) => new RegExp(`(?:^| )${key}=(\\S+)`).exec(line ?? '')?.[1];
  const list = (key: string, value: string | undefined) =>
    value === undefined || /^(?:ALL|N\/A|\(null\))$/i.test(value) ? {} : { [key]: value.split(',') };
  const defaultSeconds = parseLimit(field('DefaultTime') ?? 'NONE');
  return {
    ...(defaultSeconds === undefined ? {} : { defaultSeconds }),
    ...list('allowedAccounts', field('AllowAccounts')),
    ...list('deniedAccounts', field('DenyAccounts')),
    ...list('allowedQos', field('AllowQos')),
  };
}

/** GPUs of a node's gres, such as `gpu:h100:4(S:0-3),craynetwork:4`; `(null)` for none. */
export function parseGres(text: string): Partition['gpus'] {
  return text
    .replaceAll(/\([^)]*\)/g, '')
    .split(',')
    .flatMap((item) => {
      const match = /^gpu:(?:([A-Za-z0-9][\w.-]*):)?(\d+)$/.exec(item);
      if (!match?.[2]) return [];
      const count = Number(match[2]);
      return [match[1] === undefined ? { count } : { type: match[1], count }];
    });
}

function mergeGpus(known: Partition['gpus'], found: Partition['gpus']): Partition['gpus'] {
  const byType = new Map(known.map((gpu) => [gpu.type, gpu]));
  for (const gpu of found) {
    if (gpu.count > (byType.get(gpu.type)?.count ?? 0)) byType.set(gpu.type, gpu);
  }
  return [...byType.values()];
}

/** What `scontrol show config` says of limits and accounting. */
export function parseLimits(lines: string[]): Pick<Survey['slurm'], 'hasAccounting' | 'maxArraySize' | 'maxJobCount'> {
  const value = (key: string) => {
    const line = lines.find((text) => new RegExp(`^${key}\\s*=`).test(text));
    return line?.slice(line.indexOf('=') + 1).trim();
  };
  const number = (key: string) => (/^\d+$/.test(value(key) ?? '') ? Number(value(key)) : undefined);
  const maxArraySize = number('MaxArraySize');
  const maxJobCount = number('MaxJobCount');
  const storage = value('AccountingStorageType') ?? '';
  return {
    hasAccounting: storage !== '' && !/none$|^\(null\)$/.test(storage),
    ...(maxArraySize === undefined ? {} : { maxArraySize }),
    ...(maxJobCount === undefined ? {} : { maxJobCount }),
  };
}

/** The user's associations from `sacctmgr -n -P show assoc format=account,partition,qos,defaultqos`, an account once. */
export function parseAccounts(lines: string[]): Survey['slurm']['accounts'] {
  const accounts = new Map<string, Survey['slurm']['accounts'][number]>();
  for (const line of lines) {
    const [name = '', partition = '', qos = ''] = line.split('|');
    if (name === '' || line.split('|').length < 4) continue;
    const key = `${name}|${partition}`;
    accounts.set(key, {
      name,
      ...(partition === '' ? {} : { partition }),
      qos: [...new Set([...(accounts.get(key)?.qos ?? []), ...qos.split(',').filter((each) => each !== '')])],
    });
  }
  return [...accounts.values()];
}
