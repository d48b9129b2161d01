import { z } from 'zod';
import { parseSbatchArgument, type SbatchArgument } from './sbatch-argument.js';
import { parseGpus, parseMemory, parseTime, type GpuRequest } from './quantities.js';

/** A value that may be written as a number or a string and is parsed by `parse`. */
export function quantity<T>(parse: (text: string) => T | undefined, expected: string) {
  return z.union([z.string(), z.number()], { error: `must be ${expected}` }).transform((value, context) => {
    const parsed = parse(String(value));
    if (parsed === undefined) {
      context.addIssue({ code: 'custom', message: `must be ${expected}, not "${value}"` });
      return z.NEVER;
    }
    return parsed;
  });
}

// A word that can stand in an #SBATCH line as it is.
export const slurmWord = z.string().regex(/^[\w.+@,-]+$/, 'must be letters, digits and . _ + @ , - only');

const hostList = z.string().regex(/^[\w.,[\]-]+$/, 'must be names of nodes, such as n1,n[4-7]');

const sbatchArgument = z.string().transform((text, context): SbatchArgument => {
  const parsed = parseSbatchArgument(text);
  if (typeof parsed !== 'string') return parsed;
  context.addIssue({ code: 'custom', message: parsed });
  return z.NEVER;
});

const memoryKeys = ['memory', 'memoryPerCpu', 'memoryPerGpu'] as const;
const memorySize = quantity(parseMemory, 'a size such as 32G').optional();

export const resourcesSchema = z
  .strictObject({
    gpus: quantity<GpuRequest>(parseGpus, 'a number such as 1, or type:number such as h100:2').optional(),
    nodes: z.int().positive().optional(),
    tasks: z.int().positive().optional(),
    tasksPerNode: z.int().positive().optional(),
    cpus: z.int().positive().optional(),
    memory: memorySize,
    memoryPerCpu: memorySize,
    memoryPerGpu: memorySize,
    time: quantity(parseTime, 'a time such as 2h, 1h30m or 1-12:00:00').optional(),
    partition: slurmWord.optional(),
    account: slurmWord.optional(),
    qos: slurmWord.optional(),
    constraint: z
      .string()
      .regex(/^[\w.&|()[\]*!:,=+-]+$/, 'must be features of nodes, such as a100|h100')
      .optional(),
    reservation: slurmWord.optional(),
    exclude: hostList.optional(),
    nodelist: hostList.optional(),
    dependency: z
      .string()
      .regex(/^[a-z]+(?::[\w:+,?-]+)?$/, 'must be as in sbatch, such as afterok:4711 or singleton')
      .optional(),
    begin: z
      .string()
      .regex(/^[\w:+./-]+$/, 'must be a time as in sbatch, such as 22:00, now+2hours or 2030-01-31T08:00')
      .optional(),
    mailType: z
      .string()
      .regex(/^[A-Z_0-9]+(?:,[A-Z_0-9]+)*$/i, 'must be kinds of events, such as END,FAIL')
      .optional(),
    mailUser: z
      .string()
      .regex(/^[\w.%+@-]+$/, 'must be an address or a user')
      .optional(),
    sbatchArgs: z.array(sbatchArgument).optional(),
  })
  .superRefine((resources, context) => {
    const [first, second] = memoryKeys.filter((key) => resources[key] !== undefined);
    if (first === undefined || second === undefined) return;
    context.addIssue({
      code: 'custom',
      path: [second],
      message: `and ${first} exclude each other (sbatch man page, --mem)`,
    });
  });

/** What the job asks SLURM for: `memory` in SLURM's spelling, `time` in seconds. */
export type Resources = z.output<typeof resourcesSchema>;

/** What is asked for closer to the job goes before what is asked for in general; of memory, one spelling is left. */
export function mergeResources(general: Resources, special: Resources): Resources {
  const without = memoryKeys.some((key) => special[key] !== undefined)
    ? new Set<string>(memoryKeys)
    : new Set<string>();
  return { ...Object.fromEntries(Object.entries(general).filter(([key]) => !without.has(key))), ...special };
}
