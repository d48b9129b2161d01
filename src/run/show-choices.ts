import { learnSurvey } from '../cluster/survey.js';
import type { Resources } from '../config/resources.js';
import { HpcrunError } from '../errors.js';
import { describePartition } from './doctor/judge-survey.js';
import { judgeWishes } from './doctor/judge-wishes.js';
import type { Session } from './session.js';

/** An error of a submission: if SLURM has refused the job, its hint says also what the cluster has. Any other as it is. */
export async function showChoices(session: Session, error: unknown, wishes: Resources, root: string): Promise<unknown> {
  if (!(error instanceof HpcrunError) || error.code !== 'SLURM_REFUSED') return error;
  const { cluster, connect, signal } = session;
  try {
    const { slurm } = await learnSurvey(cluster, root, connect, { refresh: false, signal });
    const why = judgeWishes(wishes, slurm, cluster).flatMap(({ verdict, message }) =>
      verdict === 'problem' ? [`${message}.`] : [],
    );
    const hint = [...why, ...(error.hint === undefined ? [] : [error.hint])].join(' ');
    const partitions = slurm.partitions.map((partition) => `    ${describePartition(partition)}`);
    return new HpcrunError(error.code, error.message, { hint: [hint, ...partitions].join('\n'), cause: error });
  } catch (second) {
    // The refusal is what the user has to know; that nothing can be said about it is not.
    if (second instanceof HpcrunError) return error;
    throw second;
  }
}
