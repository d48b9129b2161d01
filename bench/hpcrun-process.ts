import { execa } from 'execa';
import { readFile } from 'node:fs/promises';
import { benchEnvironment, hpcrunPath, wireBytes } from './sandbox.js';

/** What one call of hpcrun took. */
export interface HpcrunResult {
  seconds: number;
  /** Highest resident size of the process that is hpcrun. */
  peakBytes: number;
  /** In and out of the login node. */
  wireBytes: number;
  /** What `--json` printed. */
  objects: Record<string, unknown>[];
}

// Short calls have to be seen before they end; one small file costs nothing to read.
const sampleMs = 20;

/** Runs hpcrun with `--json` and watches it from outside. `directory` holds what it keeps on this machine. */
export async function measureHpcrun(
  [command, ...args]: [string, ...string[]],
  { directory, cwd = directory }: { directory: string; cwd?: string },
): Promise<HpcrunResult> {
  await execa('sync');
  const before = await wireBytes();
  const startedAt = performance.now();
  const running = execa('node', [hpcrunPath, command, '--json', ...args], { cwd, env: benchEnvironment(directory) });
  let peakBytes = 0;
  const timer = setInterval(() => {
    void residentPeak(running.pid).then((bytes) => {
      peakBytes = Math.max(peakBytes, bytes);
    });
  }, sampleMs);
  try {
    const { stdout } = await running;
    const seconds = (performance.now() - startedAt) / 1000;
    const lines = stdout.split('\n').filter((line) => line !== '');
    const objects = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    return { seconds, peakBytes, wireBytes: (await wireBytes()) - before, objects };
  } finally {
    clearInterval(timer);
  }
}

/** VmHWM, the kernel's own high-water mark, in bytes; 0 once the process has ended. */
async function residentPeak(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid ?? 0}/status`, 'utf8').catch(() => '');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}
