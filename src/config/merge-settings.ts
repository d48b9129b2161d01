/** Groups of settings that are merged key by key; of any other key, the whole value is replaced. */
const groups = new Set([
  'slurm',
  'slurm.gpus',
  'slurm.commands',
  'slurm.partitions',
  'resources',
  'container',
  'proxy',
]);

type Settings = Record<string, unknown>;

/** `base` with everything that `over` says in its place. */
export function mergeSettings<T extends object>(base: T, over: T): T {
  return merge(base as Settings, over as Settings, '') as T;
}

function merge(base: Settings, over: Settings, prefix: string): Settings {
  const result: Settings = { ...base };
  for (const [key, value] of Object.entries(over)) {
    if (value === undefined) continue;
    const below = base[key];
    const path = `${prefix}${key}`;
    result[key] = groups.has(path) && isGroup(below) && isGroup(value) ? merge(below, value, `${path}.`) : value;
  }
  return result;
}

function isGroup(value: unknown): value is Settings {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
