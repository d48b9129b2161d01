import { formatBytes } from '../src/progress.js';
import type { HpcrunResult } from './hpcrun-process.js';
import type { RivalResult } from './rivals.js';

/** One line of the table. */
export interface Row {
  what: string;
  hpcrun: HpcrunResult;
  rivals: Record<string, RivalResult>;
  /** The figure the goal is about, and the goal, such as `1.20 × scp` and `≥ 1.0`. */
  figure: string;
  goal: string;
}

export function best<T extends { seconds: number }>(rounds: T[]): T {
  return rounds.reduce((fastest, result) => (result.seconds < fastest.seconds ? result : fastest));
}

/** How many times as fast as the fastest rival. */
export function speedBeside(hpcrun: HpcrunResult, rivals: Record<string, RivalResult>): string {
  const [[name, { seconds }] = ['', { seconds: 0 }]] = Object.entries(rivals).sort(
    ([, a], [, b]) => a.seconds - b.seconds,
  );
  return `${(seconds / hpcrun.seconds).toFixed(2)} × ${name}`;
}

export function renderTable(rows: Row[]): string {
  const lines = rows.map(({ what, hpcrun, rivals, figure, goal }) => [
    what,
    `${hpcrun.seconds.toFixed(1)} s`,
    formatBytes(hpcrun.wireBytes),
    Object.entries(rivals)
      .map(([name, { seconds, wireBytes }]) => `${name} ${seconds.toFixed(1)} s, ${formatBytes(wireBytes)}`)
      .join('; '),
    figure,
    goal,
    formatBytes(hpcrun.peakBytes),
  ]);
  const head = ['what', 'hpcrun', 'on the wire', 'beside it', 'measured', 'goal', 'peak memory'];
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}
