import { randomInt } from 'node:crypto';

// No vowels and no look-alikes: ids are read aloud and must not spell words.
const letters = 'bcdfghjkmnpqrstvwxz23456789';

/** `20261122-081530-k3f9`: sorts by time (UTC), unique enough for two laptops in one second. */
export function makeRunId(now: Date): string {
  const [date = '', clock = ''] = now.toISOString().replaceAll(/[-:]/g, '').slice(0, 15).split('T');
  const tail = Array.from({ length: 4 }, () => letters.charAt(randomInt(letters.length))).join('');
  return `${date}-${clock}-${tail}`;
}

/** Whether a directory name on the far side is one of hpcrun's. */
export function isRunId(text: string): boolean {
  return /^\d{8}-\d{6}-[a-z0-9]{4}$/.test(text);
}
