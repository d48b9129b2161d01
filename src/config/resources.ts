import { z } from 'zod';
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

export const resourcesSchema = z.strictObject({
  gpus: quantity<GpuRequest>(parseGpus, 'a number such as 1, or type:number such as h100:2').optional(),
  cpus: z.int().positive().optional(),
  memory: quantity(parseMemory, 'a size such as 32G').optional(),
  time: quantity(parseTime, 'a time such as 2h, 1h30m or 1-12:00:00').optional(),
  partition: slurmWord.optional(),
  account: slurmWord.optional(),
});

/** What the job asks SLURM for: `memory` in SLURM's spelling, `time` in seconds. */
export type Resources = z.output<typeof resourcesSchema>;
