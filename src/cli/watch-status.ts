import { setTimeout as sleep } from 'node:timers/promises';
import { isEnded } from '../slurm/states.js';
import type { RunStatus } from '../run/status.js';
import type { Answer, StatusSource } from './status-sources.js';

/** Shows what has been answered; told how long it is until the next question. */
export type Show = (answer: Answer, nextSeconds: number | undefined) => void;

const slowest = 5;

/**
 * Asks again and again until all runs that are chosen have ended: no faster than the cluster wants, and up to five times slower
 * while nothing changes.
 * @param choose which of the runs are shown
 */
export async function watchStatus(
  source: StatusSource,
  choose: (runs: RunStatus[]) => RunStatus[],
  show: Show,
  signal: AbortSignal,
): Promise<Answer> {
  let factor = 1;
  let before = '';
  for (;;) {
    const answer = await source.ask();
    const chosen = { ...answer, runs: choose(answer.runs) };
    const now = chosen.runs.map(fingerprint).join('\n');
    factor = now === before ? Math.min(slowest, factor * 1.5) : 1;
    before = now;
    const isOver = chosen.failures.length === 0 && chosen.runs.every(({ state }) => willNotChange(state));
    const seconds = Math.ceil(source.pollSeconds * factor);
    show(chosen, isOver ? undefined : seconds);
    if (isOver) return chosen;
    await sleep(seconds * 1000, undefined, { signal });
  }
}

function willNotChange(state: string): boolean {
  return isEnded(state) || state === 'UNKNOWN' || state === 'NOT_SUBMITTED';
}

/** What has to be different for a run to have changed; time that passes is no change. */
export function fingerprint(run: RunStatus): string {
  const { runId, jobId, state, reason, nodes, exitCode } = run;
  return JSON.stringify([run.record.cluster, runId, jobId, state, reason, nodes, exitCode]);
}
