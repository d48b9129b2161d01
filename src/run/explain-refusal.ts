import { learnSurvey } from '../cluster/survey.js';
import type { Resources } from '../config/resources.js';
import { HpcrunError } from '../errors.js';
import { describePartition } from './doctor/judge-survey.js';
import { judgeWishes } from './doctor/judge-wishes.js';
import type { Session } from './session.js';

/** An error of a submission: if SLURM has refused the job, with what the cluster has as its hint. Any other as it is. */
export async function explainRefusal(
  session: Session,
  error: unknown,
  wishes: Resources,
  root: string,
): Promise<unknown> {
  if (!(error instanceof HpcrunError) || error.code !== 'SLURM_REFUSED') return error;
  const { cluster, connect, signal } = session;
  try {
    const { slurm } = await learnSurvey(cluster, root, connect, { refresh: false, signal });
    const problems = judgeWishes(wishes, slurm, cluster).filter(({ verdict }) => verdict === 'problem');
    const why = problems.map(({ message }) => `${message}.`);
    const there = slurm.partitions.map((partition) => `    ${describePartition(partition)}`);
    if (there.length === 0) return error;
    const hint = [...why, `The partitions of ${cluster.name}:`].join(' ');
    return new HpcrunError(error.code, error.message, {
      hint: [
        hint,
        ...there,
        '    Choose with --partition, --account, --time, --gpus, --memory; "hpcrun doctor" checks them.',
      ].join('\n'),
      cause: error,
    });
  } catch (second) {
    // The refusal is what the user has to know; that nothing can be said about it is not.
    if (second instanceof HpcrunError) return error;
    throw second;
  }
}
