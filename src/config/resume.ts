import { z } from 'zod';
import { parseTime } from './quantities.js';
import { quantity } from './resources.js';

const signals = ['HUP', 'INT', 'USR1', 'USR2', 'TERM'] as const;

export const resumeRequestSchema = z.strictObject({
  /** How long before its time limit a job is told to save; seconds. */
  before: quantity(parseTime, 'a time such as 2m').optional(),
  signal: z.enum(signals, { error: `must be one of ${signals.join(', ')}` }).optional(),
  /** How often a job may be started anew. */
  maxRestarts: z.int().positive().optional(),
  /** Of a chain: how many jobs are submitted at the beginning. */
  links: z.int().min(2, 'must be 2 or more').max(1000, 'must be 1000 at most').optional(),
});

/** How work that takes longer than its time limit goes on; `false` for not at all. */
export const resumeSchema = z.union([z.boolean(), resumeRequestSchema], {
  error: 'must be true, false, or how, such as {before: 2m, signal: TERM, maxRestarts: 50}',
});

/** What a user says of it. */
export type ResumeRequest = z.output<typeof resumeRequestSchema>;
