import { gzipSync } from 'node:zlib';
import type { Connection } from '../ssh/connection.js';
import { quote } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import type { RemoteLayout } from './layout.js';
import type { Snapshot, SnapshotFile } from './snapshot.js';

/**
 * The name under which a file's content is kept in the cluster's `objects/`: sha256 and mode, because all hard links to an
 * object share its mode. Undefined for what needs no object: a file without content costs as much as a link to one.
 */
export function objectName(file: SnapshotFile): string | undefined {
  if (file.type !== 'file' || file.sizeBytes === 0) return undefined;
  return `${file.digest}-${file.isExecutable ? '555' : '444'}`;
}

/** The objects a snapshot consists of, each once, with its size in bytes. */
export function objectsOf(snapshot: Snapshot): Map<string, number> {
  const objects = new Map<string, number>();
  for (const file of snapshot.files) {
    const name = objectName(file);
    if (name !== undefined && file.type === 'file') objects.set(name, file.sizeBytes);
  }
  return objects;
}

/** Those of the objects that the cluster does not hold, or not with their size. Asks with one command. */
export async function askMissingObjects(
  connection: Connection,
  layout: RemoteLayout,
  objects: ReadonlyMap<string, number>,
  signal: AbortSignal,
): Promise<Set<string>> {
  const { stdout } = await runRemote(connection, 'asking which files are there', renderQuestion(layout), {
    stdin: gzipSync([...objects.keys()].map((name) => `${name}\n`).join('')),
    signal,
  });
  const present = new Map(
    stdout
      .toString('utf8')
      .split('\n')
      .map((line): [string, number] => {
        const [name = '', size] = line.split(' ');
        return [name, Number(size)];
      }),
  );
  return new Set([...objects].filter(([name, size]) => present.get(name) !== size).map(([name]) => name));
}

/** Reads names on standard input, as gzip; prints name and size of those that are there. */
function renderQuestion(layout: RemoteLayout): string {
  return `cd ${quote(layout.objects)} 2>/dev/null || exit 0
gzip -dc | xargs stat -c '%n %s' 2>/dev/null
exit 0
`;
}

/**
 * A find command without its action that lists the objects no snapshot links to; those written within a day stay, so that a
 * submission that is under way does not have to send them again. An object that goes too early costs no more than that:
 * snapshots hold links of their own, and a submission that misses it sends it anew. Where the file system has no hard links,
 * snapshots are copies, and every object older than a day is listed.
 */
export function renderFindUnusedObjects(layout: RemoteLayout): string {
  return `find ${quote(layout.objects)} -maxdepth 1 -type f -links 1 -mmin +1440`;
}

/**
 * The shell function `discard_trees DIRECTORY…`, which removes snapshots and what is left of submissions. It opens
 * directories only: to change the mode of a snapshot's file would change the object, and with it all other snapshots.
 */
export const discardTrees = `discard_trees() {
  find "$@" -type d -exec chmod u+w {} + 2>/dev/null
  rm -rf "$@"
}`;
