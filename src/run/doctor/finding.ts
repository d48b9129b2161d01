import { HpcrunError, type ErrorCode } from '../../errors.js';

/** What is looked at, in this order, and what it is called. */
export const sections = {
  machine: 'This machine',
  login: 'Login',
  slurm: 'SLURM',
  storage: 'Storage',
  containers: 'Containers',
  project: 'Project',
} as const;

export type Section = keyof typeof sections;

interface Observation {
  section: Section;
  /** For programs: it stays the same in every release. */
  name: string;
  message: string;
  details?: string[];
}

/**
 * One thing that was looked at. A `problem` would make a submit fail and says with which code, a `warning` may, a `note` is good
 * to know; what is `skipped` could not be looked at. Remedies say how to mend it.
 */
export type Finding = Observation &
  (
    | { verdict: 'ok' | 'skipped' }
    | { verdict: 'note' | 'warning'; remedy?: string | undefined }
    | { verdict: 'problem'; remedy: string; code: ErrorCode }
  );

/** A problem from the error that a command would have ended with. Other errors, and an interruption, are thrown again. */
export function problemOf(section: Section, name: string, error: unknown): Finding {
  if (!(error instanceof HpcrunError) || error.code === 'INTERRUPTED') throw error;
  const { code, message, hint } = error;
  return { section, name, verdict: 'problem', message, remedy: hint ?? 'hpcrun --help', code };
}

/** How many of each verdict there are. */
export function countVerdicts(findings: Finding[]): { problems: number; warnings: number } {
  const count = (verdict: Finding['verdict']) => findings.filter((finding) => finding.verdict === verdict).length;
  return { problems: count('problem'), warnings: count('warning') };
}

/** The exit status: 0 if nothing is wrong, otherwise the one with which a submit would end at the first problem. */
export function exitStatusOf(findings: Finding[]): number {
  for (const finding of findings) {
    if (finding.verdict === 'problem') return new HpcrunError(finding.code, finding.message).exitStatus;
  }
  return 0;
}
