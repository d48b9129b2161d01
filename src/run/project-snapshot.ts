import { posix } from 'node:path';
import { listLargest, takeSnapshot, type Snapshot } from '../cluster/snapshot.js';
import { HpcrunError } from '../errors.js';
import { formatBytes, type Progress } from '../progress.js';
import type { Plan } from './plan.js';

const largeBytes = 100e6;

/** What of the project goes with a run; warns where it is large. Throws CODE_UNSENDABLE or SCRIPT_NOT_FOUND. */
export async function snapshotProject(progress: Progress, plan: Plan): Promise<Snapshot> {
  return checkSnapshot(progress, plan, await takeSnapshot(plan.project.directory));
}

/** The same of one that was taken while something else went on. */
export function checkSnapshot(progress: Progress, plan: Plan, snapshot: Snapshot): Snapshot {
  if (snapshot.sizeBytes > largeBytes) {
    progress.warn(
      `The project is ${formatBytes(snapshot.sizeBytes)}; data is better kept on the cluster and bound with -v, and named in .hpcrunignore. Its largest files:\n${listLargest(snapshot.files)}`,
    );
  }
  requireSent(plan, snapshot);
  return snapshot;
}

/** Whether the snapshot will make this directory of the project, `''` for the project itself. */
export function holdsDirectory(snapshot: Snapshot, directory: string): boolean {
  return (
    directory === '' ||
    snapshot.files.some(({ path, type }) => path.startsWith(`${directory}/`) || (path === directory && type !== 'file'))
  );
}

/** What the job needs may be on this machine and yet not be sent. Throws SCRIPT_NOT_FOUND. */
function requireSent({ command, containerDirectory, mount }: Plan, snapshot: Snapshot): void {
  const inside = posix.relative(mount, containerDirectory);
  const hint = 'git status --ignored shows what git passes over; .hpcrunignore is read, too.';
  if (!holdsDirectory(snapshot, inside)) {
    throw new HpcrunError(
      'SCRIPT_NOT_FOUND',
      `nothing in the directory ${inside} is sent to the cluster: all of it is ignored`,
      { hint },
    );
  }
  if (command.kind !== 'script') return;
  const script = posix.join(inside, command.path);
  if (snapshot.files.some(({ path }) => path === script)) return;
  throw new HpcrunError(
    'SCRIPT_NOT_FOUND',
    `${script} is not sent to the cluster: .gitignore or .hpcrunignore names it`,
    { hint },
  );
}
