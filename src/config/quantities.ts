/** Quantities as users write them, turned into SLURM's spelling (sbatch man page: --mem, --time, --gres). */

const memoryPattern = /^(\d+)\s*([KMGT]?)(?:i?B)?$/i;

/** `32G`, `32GB`, `32 GiB` or `32000M` → `32G`; undefined if it is none of these. Without a unit: megabytes. */
export function parseMemory(text: string): string | undefined {
  const match = memoryPattern.exec(text.trim());
  if (!match?.[1] || Number(match[1]) === 0) return undefined;
  return `${match[1]}${(match[2] ?? '').toUpperCase() || 'M'}`;
}

const clockPattern = /^(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?$/;
const wordPattern = /^(?:(\d+)\s*d)?\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+)\s*s)?$/i;

/**
 * `2h`, `1h30m`, `1d`, or SLURM's own `minutes`, `minutes:seconds`, `hours:minutes:seconds`, `days-hours[:minutes[:seconds]]`
 * → seconds; undefined if it is none of these.
 */
export function parseTime(text: string): number | undefined {
  const trimmed = text.trim();
  const clock = clockPattern.exec(trimmed);
  if (clock) {
    const [, days, first, second, third] = clock;
    if (days !== undefined) return inSeconds(days, first, second, third);
    return third === undefined ? inSeconds('0', '0', first, second) : inSeconds('0', first, second, third);
  }
  const words = wordPattern.exec(trimmed);
  if (!words) return undefined;
  const [, days, hours, minutes, seconds] = words;
  return inSeconds(days, hours, minutes, seconds);
}

/** Undefined for no time at all: SLURM reads 0 as "no limit", which nobody means. */
function inSeconds(days = '0', hours = '0', minutes = '0', seconds = '0'): number | undefined {
  return Number(days) * 86_400 + Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds) || undefined;
}

export interface GpuRequest {
  type?: string | undefined;
  count: number;
}

/** `2` or `h100:2` → type and number; undefined if it is neither. */
export function parseGpus(text: string): GpuRequest | undefined {
  const match = /^(?:([A-Za-z0-9][\w.-]*):)?(\d+)$/.exec(text.trim());
  if (!match?.[2]) return undefined;
  const count = Number(match[2]);
  return match[1] === undefined ? { count } : { type: match[1], count };
}

const unitBytes: Record<string, number> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** `50G`, `500 MiB` → bytes; undefined if it is neither. Without a unit: bytes. */
export function parseBytes(text: string): number | undefined {
  const match = memoryPattern.exec(text.trim());
  if (!match?.[1]) return undefined;
  return Number(match[1]) * (unitBytes[(match[2] ?? '').toUpperCase()] ?? 1);
}
