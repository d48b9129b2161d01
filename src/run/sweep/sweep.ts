import { HpcrunError } from '../../errors.js';

/** One script, many sets of parameters. */
export interface Sweep {
  /** Their names. */
  parameters: string[];
  /** For each task, the values in the order of the names. */
  tasks: string[][];
  /** How many may run at once; undefined for as many as SLURM likes. */
  maxParallel?: number | undefined;
}

/** A list of tasks with values for the same parameters. */
export type SweepTable = Pick<Sweep, 'parameters' | 'tasks'>;

const mostTasks = 10_000;
const longestValue = 32_768;
const namePattern = /^[A-Za-z_][\w.-]{0,63}$/;

/** `HPCRUN_PARAM_LR` for `lr`: in capitals, everything but letters and digits as `_`. */
export function parameterVariable(name: string): string {
  return `HPCRUN_PARAM_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}`;
}

/** Each task of one table with each of the next: the last table's values change first. Throws USAGE. */
export function multiplyTables(tables: SweepTable[]): SweepTable {
  const parameters = tables.flatMap((table) => table.parameters);
  const count = tables.reduce((product, { tasks }) => product * tasks.length, 1);
  if (count > mostTasks) throw tooMany(count);
  const tasks = tables.reduce<string[][]>(
    (rows, table) => rows.flatMap((row) => table.tasks.map((values) => [...row, ...values])),
    [[]],
  );
  return { parameters, tasks };
}

function tooMany(count: number): HpcrunError {
  return new HpcrunError('USAGE', `the sweep has ${count} tasks; ${mostTasks} are the most`, {
    hint: 'Let each task do several, or make several sweeps.',
  });
}

/** Throws USAGE for names that are none or not distinct, for no tasks, too many, and values that no argument can hold. */
export function requireSweep({ parameters, tasks }: SweepTable): void {
  const variables = new Map<string, string>();
  for (const name of parameters) {
    if (!namePattern.test(name)) {
      throw new HpcrunError('USAGE', `${JSON.stringify(name)} cannot be the name of a parameter`, {
        hint: 'Use letters, digits, _ . and -, such as lr or optimizer.lr.',
      });
    }
    const other = variables.get(parameterVariable(name));
    if (other === name) throw new HpcrunError('USAGE', `the parameter ${name} is given twice`, { hint: sweepHint });
    if (other !== undefined) {
      throw new HpcrunError('USAGE', `${other} and ${name} would both be ${parameterVariable(name)}`, {
        hint: 'Give one of them another name.',
      });
    }
    variables.set(parameterVariable(name), name);
  }
  if (tasks.length === 0 || parameters.length === 0) {
    throw new HpcrunError('USAGE', 'the sweep has no tasks', { hint: sweepHint });
  }
  if (tasks.length > mostTasks) throw tooMany(tasks.length);
  for (const [index, values] of tasks.entries()) {
    const bad = values.findIndex((value) => value.includes('\0') || value.length > longestValue);
    if (bad === -1) continue;
    const what = values[bad]?.includes('\0') ? 'holds a NUL byte' : `is longer than ${longestValue} characters`;
    throw new HpcrunError('USAGE', `the value of ${parameters[bad] ?? ''} in task ${index} ${what}`, {
      hint: 'Put it into a file of the project, and sweep over the names of files.',
    });
  }
}

export const sweepHint = 'hpcrun submit --sweep lr=0.1,0.01 --sweep seed=1..5 train.py';

/** A task's parameters as a person reads them: `lr=0.1 seed=1`. */
export function describeParameters({ parameters, tasks }: SweepTable, index: number): string {
  return parameters.map((name, column) => `${name}=${tasks[index]?.[column] ?? ''}`).join(' ');
}
