import { RemoteLayout } from '../cluster/layout.js';
import { HpcrunError } from '../errors.js';
import { quote } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import type { RemoteFile } from '../transfer/remote-file.js';
import { fromMount, isLinkInside } from '../transfer/safe-path.js';
import type { RunRecord } from './record.js';
import type { Session } from './session.js';
import { parseTaskId } from './sweep/task-record.js';

/** A file that a run created or changed. */
export interface ResultFile extends RemoteFile {
  /** Whether nobody can write to it any more, because its run or its array task has ended. */
  isFinal: boolean;
}

export interface ResultListing {
  files: ResultFile[];
  /** Whether the job had written its exit status before the files were listed. */
  hasEnded: boolean;
  /** The far side's clock when it began to list, in seconds since 1970. */
  listedAt: number;
  isComplete: boolean;
}

/**
 * What a run created or changed in its work copy, or its array tasks in theirs; of the latter, paths begin with the
 * task's index. Sources are relative to the run's directory. Throws RUN_NOT_FOUND.
 */
export async function listResults(session: Session, record: RunRecord): Promise<ResultListing> {
  const layout = new RemoteLayout(record.root);
  const { stdout } = await runRemote(
    await session.connect(),
    'listing results',
    renderListing(layout.run(record.runId).directory, layout.snapshot(record.code.treeHash)),
    { signal: session.signal, expected: [4], timeoutMs: 600_000 },
  );
  const listing = parseListing(stdout, record.mount);
  if (listing.isComplete) return listing;
  if (parseTaskId(record.runId).task !== undefined) {
    throw new HpcrunError(
      'RUN_NOT_FOUND',
      `task ${record.runId} has not started, or is not on ${session.cluster.name} any more`,
      {
        hint: `hpcrun status ${record.runId}`,
      },
    );
  }
  throw new HpcrunError('RUN_NOT_FOUND', `run ${record.runId} is not on ${session.cluster.name} any more`, {
    hint: 'hpcrun status',
  });
}

// A file is a result if the project has none of its name, or if it changed (ctime, which no program can set) after the
// work copy was made. The first part holds even where the clocks of nodes disagree.
function renderListing(run: string, snapshot: string): string {
  return `cd ${quote(run)} 2>/dev/null || exit 4
# One that waits in the queue need not have a work copy yet.
[ -d work ] || [ -d tasks ] || [ -e run.json ] || exit 4
printf 'c%s\\0' "$(date +%s)"
[ ! -e state/exit ] || printf 'e\\0'
(cd ${quote(snapshot)} 2>/dev/null && find . ! -type d -printf 'p%P\\0')
list() {
  find "$1/work" \\( -type f -o -type l \\) \\( -cnewer "$1/state/baseline" -printf 'n%y %m %s %T@ %P\\0%l\\0' -o -printf 'o%y %m %s %T@ %P\\0%l\\0' \\)
}
[ ! -d work ] || list .
for task in tasks/*/work; do
  [ -d "$task" ] || continue
  task=\${task%/work}
  case \${task#tasks/} in *[!0-9]*) continue ;; esac
  if [ -e "$task/state/exit" ]; then printf 'T%s\\0' "\${task#tasks/}"; else printf 't%s\\0' "\${task#tasks/}"; fi
  list "$task"
done
printf 'end\\0'
`;
}

/** Pure: the listing's output to files. */
export function parseListing(output: Buffer, mount: string): ResultListing {
  const project = new Set<string>();
  const listing: ResultListing = { files: [], hasEnded: false, listedAt: 0, isComplete: false };
  let task: { index: string; hasEnded: boolean } | undefined;
  // What stands behind the last NUL has broken off.
  const fields = output.toString('utf8').split('\0').slice(0, -1).values();
  for (const field of fields) {
    const kind = field.charAt(0);
    if (field === 'end') listing.isComplete = true;
    else if (field === 'e') listing.hasEnded = true;
    else if (kind === 'p') project.add(field.slice(1));
    else if (kind === 'c') listing.listedAt = Number(field.slice(1));
    else if (kind === 't' || kind === 'T') task = { index: field.slice(1), hasEnded: kind === 'T' };
    const match = /^([no])([fl]) ([0-7]+) (\d+) (-?[\d.]+) (.+)$/s.exec(field);
    if (!match) continue;
    const [, age, type, mode = '', size, mtime, path = ''] = match;
    const target = fields.next().value ?? '';
    if (age === 'o' && project.has(path)) continue;
    const isLink = type === 'l';
    listing.files.push({
      path: task ? `${task.index}/${path}` : path,
      source: task ? `tasks/${task.index}/work/${path}` : `work/${path}`,
      type: isLink ? 'symlink' : 'file',
      sizeBytes: Number(size),
      mtime: Number(mtime),
      isExecutable: !isLink && (Number.parseInt(mode, 8) & 0o100) !== 0,
      linkTarget: isLink ? placedTarget(path, fromMount(path, target, mount)) : '',
      isFinal: listing.hasEnded || task?.hasEnded === true,
    });
  }
  return listing;
}

/** A link from one task's directory into another's would only lead somewhere here: it stays what it was there, outside. */
function placedTarget(path: string, target: string): string {
  return isLinkInside(path, target) || target.startsWith('/') ? target : `/${target}`;
}
