/** One piece of work that takes a moment, as it is shown to the user. */
export interface Step {
  /** Replaces the text behind the title, such as `45 %`. */
  update(detail: string): void;
  /** A line of output of the program doing the work. */
  output(line: string): void;
  /** The work is done; `summary` replaces the title. */
  succeed(summary: string): void;
  /** The work failed; the error itself is printed by whoever catches it. */
  fail(): void;
}

/** Where progress and messages go: the terminal's stderr, a log, or nowhere. Results never go here. */
export interface Progress {
  step(title: string): Step;
  note(text: string): void;
  warn(text: string): void;
}

/** Runs `work` as a step: done when it returns, failed when it throws. */
export async function withStep<T>(
  progress: Progress,
  title: string,
  work: (step: Step) => Promise<T>,
  summarize: (result: T) => string,
): Promise<T> {
  const step = progress.step(title);
  try {
    const result = await work(step);
    step.succeed(summarize(result));
    return result;
  } catch (error) {
    step.fail();
    throw error;
  }
}

const units = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** A size in decimal units with at most three digits, such as `718 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.5 ? 0 : value >= 9.95 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit] ?? ''}`;
}

/** A duration as SLURM prints it: `[days-]hours:minutes:seconds`. */
export function formatDuration(totalSeconds: number): string {
  const seconds = Math.max(0, Math.round(totalSeconds));
  const days = Math.floor(seconds / 86_400);
  const clock = [Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
  return days > 0 ? `${days}-${clock}` : clock;
}
