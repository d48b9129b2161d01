import type { ResumeRequest } from '../config/resume.js';
import type { Resources } from '../config/resources.js';
import { HpcrunError } from '../errors.js';
import { formatDuration } from '../progress.js';
import type { RunRecord } from './record.js';

/** Where nothing is said: so long before the time limit a script is told to save, if that is less than a third of it. */
const usualSeconds = 120;
/** Less than what SLURM and a script need between a signal and the limit. */
const leastSeconds = 10;
const usualRestarts = 50;

/** The templates for which it has not been tried. Projects' own ones have to be made from one of the others. */
const without = new Set(['array', 'torchrun', 'mpi', 'service', 'shell']);

interface ResumeInputs {
  /** What hpcrun.yaml says. */
  configured: boolean | ResumeRequest | undefined;
  /** What the command line says; undefined if nothing. */
  asked: boolean | ResumeRequest | undefined;
  template: string;
  resources: Pick<Resources, 'time' | 'sbatchArgs'>;
}

/**
 * How a run goes on at its time limit; undefined if it does not. A chain always does. Throws USAGE for what does not go together.
 */
export function planResume({ configured, asked, template, resources }: ResumeInputs): RunRecord['resume'] {
  const isChain = template === 'chain';
  const isWanted = isChain || (asked ?? configured ?? false) !== false;
  if (!isWanted) return undefined;
  // What a project says of its trainings is not meant for these.
  if (asked === undefined && ['shell', 'service'].includes(template)) return undefined;
  if (without.has(template)) {
    throw new HpcrunError('USAGE', `--resume does not go with the template ${template}`, {
      hint: 'It is for the templates single and chain; where hpcrun.yaml says resume:, leave it out with --no-resume.',
    });
  }
  const {
    before,
    signal = 'TERM',
    maxRestarts = usualRestarts,
    links,
  } = { ...(typeof configured === 'object' ? configured : {}), ...(typeof asked === 'object' ? asked : {}) };
  if (isChain && links === undefined) {
    throw new HpcrunError('USAGE', 'a chain needs to know how many jobs it has', {
      hint: '--template chain --links 4',
    });
  }
  const third = resources.time === undefined ? usualSeconds : Math.floor(resources.time / 3);
  const beforeSeconds = before ?? Math.max(leastSeconds, Math.min(usualSeconds, third));
  if (beforeSeconds < leastSeconds || (resources.time !== undefined && beforeSeconds * 2 > resources.time)) {
    throw new HpcrunError(
      'USAGE',
      `a signal ${formatDuration(beforeSeconds)} before the end does not go with the time limit${
        resources.time === undefined ? '' : ` of ${formatDuration(resources.time)}`
      }`,
      { hint: `It may be from ${leastSeconds} s to half of the time limit: --resume-before 2m --time 1h` },
    );
  }
  if (resources.sbatchArgs?.some(({ name }) => name === 'signal')) {
    throw new HpcrunError('USAGE', 'with --resume, --sbatch-arg cannot be --signal, which hpcrun sets itself', {
      hint: 'How long before the limit is --resume-before; which signal the script gets is signal: under resume: in hpcrun.yaml.',
    });
  }
  return { beforeSeconds, signal, maxRestarts, ...(isChain ? { links } : {}) };
}
