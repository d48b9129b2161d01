/** An option of sbatch as `--sbatch-arg` gives it: its name without dashes, and its value if it has one. */
export interface SbatchArgument {
  name: string;
  value?: string | undefined;
}

/** Options of sbatch that hpcrun sets itself; a job with another value would not be the one that it follows. */
const kept = new Set([
  ...['array', 'chdir', 'cluster-constraint', 'clusters', 'comment', 'error', 'export', 'export-file', 'get-user-env'],
  ...['input', 'job-name', 'open-mode', 'output', 'parsable', 'quiet', 'test-only', 'wait', 'wrap'],
]);

/** Options of sbatch that hpcrun has under a name of its own. */
const named: Record<string, string> = {
  account: '--account',
  begin: '--begin',
  constraint: '--constraint',
  'cpus-per-task': '--cpus',
  dependency: '--dependency',
  exclude: '--exclude',
  gpus: '--gpus',
  'gpus-per-node': '--gpus',
  'mail-type': '--mail-type',
  'mail-user': '--mail-user',
  mem: '--memory',
  'mem-per-cpu': '--mem-per-cpu',
  'mem-per-gpu': '--mem-per-gpu',
  nodelist: '--nodelist',
  nodes: '--nodes',
  ntasks: '--tasks',
  'ntasks-per-node': '--tasks-per-node',
  partition: '--partition',
  qos: '--qos',
  reservation: '--reservation',
  time: '--time',
};

/** `--exclusive` or `licenses=matlab:1`, with or without dashes; a sentence that says what is wrong with it, or the option. */
export function parseSbatchArgument(text: string): SbatchArgument | string {
  const match = /^(?:--)?([a-z][a-z0-9-]+)(?:=(.+))?$/.exec(text);
  const name = match?.[1];
  if (name === undefined)
    return `must be a long option of sbatch such as --exclusive or --licenses=matlab:1, not "${text}"`;
  if (kept.has(name)) return `cannot be --${name}, which hpcrun sets itself`;
  const own = named[name];
  if (own !== undefined) return `cannot be --${name}: it is ${own}`;
  return { name, value: match?.[2] };
}
