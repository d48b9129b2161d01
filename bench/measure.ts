import { readdir, readFile } from 'node:fs/promises';
import { isSystemError } from '../src/errors.js';

/** What one piece of work took. */
export interface Measurement {
  seconds: number;
  /** Highest resident size by program, summed over its processes; bytes. */
  peakBytes: Map<string, number>;
}

/** A process of this machine, containers included: whether it belongs to the work that is measured. */
export type Belongs = (process: { pid: number; parents: number[]; cgroup: string }) => boolean;

// VmHWM is a high-water mark: it has to be read once near the end of a process, and reading /proc costs time of its own.
const sampleMs = 500;

interface Peak {
  program: string;
  bytes: number;
}

/** Runs `work` and watches, from outside, the memory of the processes that belong to it (VmHWM in /proc/PID/status). */
export async function measure(belongs: Belongs, work: () => Promise<void>): Promise<Measurement> {
  const peaks = new Map<number, Peak>();
  let sampling = Promise.resolve();
  const timer = setInterval(() => {
    sampling = sampling.then(() => sample(belongs, peaks));
  }, sampleMs);
  const startedAt = process.hrtime.bigint();
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  await sampling;
  const peakBytes = new Map<string, number>();
  for (const { program, bytes } of peaks.values()) peakBytes.set(program, (peakBytes.get(program) ?? 0) + bytes);
  return { seconds, peakBytes };
}

/** Everything started by this process. */
export const ownChildren: Belongs = ({ pid, parents }) => pid !== process.pid && parents.includes(process.pid);

/** Everything started in a container after `before`, which lists what ran there already. */
export function inContainer(containerId: string, before: Set<number>): Belongs {
  return ({ pid, cgroup }) => cgroup.includes(containerId) && !before.has(pid);
}

/** The processes of a container, by id on this machine. */
export async function listContainer(containerId: string): Promise<Set<number>> {
  const pids = new Set<number>();
  for (const pid of await listPids()) if ((await readProc(pid, 'cgroup')).includes(containerId)) pids.add(pid);
  return pids;
}

async function sample(belongs: Belongs, peaks: Map<number, Peak>): Promise<void> {
  const statuses = new Map<number, Peak & { parent: number }>();
  for (const pid of await listPids()) {
    const status = await readProc(pid, 'status');
    const parent = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    const program = /^Name:\s+(.*)/m.exec(status)?.[1] ?? '';
    const bytes = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
    statuses.set(pid, { parent, program, bytes });
  }
  for (const [pid, { program, bytes }] of statuses) {
    const parents: number[] = [];
    for (
      let at = statuses.get(pid)?.parent;
      at !== undefined && at > 0 && !parents.includes(at);
      at = statuses.get(at)?.parent
    ) {
      parents.push(at);
    }
    const cgroup = await readProc(pid, 'cgroup');
    if (belongs({ pid, parents, cgroup }))
      peaks.set(pid, { program, bytes: Math.max(peaks.get(pid)?.bytes ?? 0, bytes) });
  }
}

async function listPids(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
}

/** Empty for a process that has ended. */
async function readProc(pid: number, file: string): Promise<string> {
  try {
    return await readFile(`/proc/${pid}/${file}`, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ESRCH')) return '';
    throw error;
  }
}
