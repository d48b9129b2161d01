import { formatBytes, formatDuration } from '../progress.js';

// A rate over this long follows a link that changes and does not jump about.
const windowMs = 10_000;

/** Turns how much of a transfer is done into words: share, rate, and the time that is left. */
export class TransferMeter {
  private readonly samples: { atMs: number; bytes: number }[] = [];

  /** @param nowMs a clock that only goes forward */
  constructor(private readonly nowMs: () => number) {}

  /** @param done of `total` bytes, those of earlier attempts included */
  describe(done: number, total: number): string {
    const atMs = this.nowMs();
    this.samples.push({ atMs, bytes: done });
    while (this.samples.length > 2 && (this.samples[1]?.atMs ?? atMs) < atMs - windowMs) this.samples.shift();
    const [first] = this.samples;
    const share = `${total === 0 ? 100 : Math.floor((100 * done) / total)} % of ${formatBytes(total)}`;
    const seconds = (atMs - (first?.atMs ?? atMs)) / 1000;
    const rate = seconds < 0.5 ? 0 : (done - (first?.bytes ?? done)) / seconds;
    if (rate <= 0) return share;
    return `${share}, ${formatBytes(rate)}/s, ${formatDuration((total - done) / rate)} left`;
  }
}
