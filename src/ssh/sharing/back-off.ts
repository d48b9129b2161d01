const firstMs = 1000;
const longestMs = 300_000;

/**
 * How long to wait before the next attempt to log in, after this many that failed: a second at first, twice as long each time, five minutes at
 * most; a quarter more or less, so that many laptops do not come back to a login node at once.
 * @param random from 0 to 1
 */
export function reconnectDelayMs(failures: number, random: number): number {
  const delay = Math.min(longestMs, firstMs * 2 ** Math.min(failures, 20));
  return Math.min(longestMs, delay * (0.75 + random / 2));
}
