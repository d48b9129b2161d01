import { setTimeout as sleep } from 'node:timers/promises';

// Bytes may run ahead of the clock by so much time, which keeps a link full between two naps.
const burstMs = 100;

/** Holds a transfer back to a rate, however many channels share it. */
export class RateLimit {
  private readyAtMs = 0;

  /** @param bytesPerSecond undefined for no limit */
  constructor(private readonly bytesPerSecond: number | undefined) {}

  /** Whether there is a limit at all. */
  get isSet(): boolean {
    return this.bytesPerSecond !== undefined;
  }

  /** Returns when so many more bytes may travel. Throws AbortError if the signal is given. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.bytesPerSecond === undefined) return;
    const now = performance.now();
    this.readyAtMs = Math.max(this.readyAtMs, now - burstMs) + (bytes * 1000) / this.bytesPerSecond;
    const aheadMs = this.readyAtMs - now;
    if (aheadMs > 0) await sleep(aheadMs, undefined, { signal });
  }
}
