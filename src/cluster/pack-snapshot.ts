import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Pack } from 'tar-stream';
import { HpcrunError } from '../errors.js';
import { objectName } from './objects.js';
import type { Snapshot, SnapshotFile } from './snapshot.js';

/**
 * Links to one object that one snapshot makes at most. An object with more links than this is renewed before it is linked
 * again (store-snapshot.ts), so that both together stay below 65,000, the limit of ext4.
 */
export const maximumLinks = 30_000;

/** How a snapshot gets to a cluster. */
export interface Delivery {
  /** Names of the objects whose content travels along; the others are thought to be there. */
  contents: ReadonlySet<string>;
  /** `copy` where the cluster's file system has no hard links. */
  placement: 'link' | 'copy';
}

/** Where a snapshot is unpacked. */
export interface Destination {
  /** The submission's temporary directory, relative to where tar unpacks. */
  temporary: string;
  /** The objects' directory, likewise. */
  objects: string;
  /** The objects' directory, absolute. */
  objectsPath: string;
}

/**
 * Writes a snapshot into a tar. First come the new objects, as `<temporary>/objects/<name>`; then the tree: hard links to
 * objects below `<temporary>/code`. For `copy`, symlinks to objects below `<temporary>/tree` stand in for files, and the
 * project's own symlinks are below `<temporary>/symlinks`. Throws CODE_UNSENDABLE if a file has changed since it was hashed.
 */
export async function packSnapshot(
  pack: Pack,
  snapshot: Snapshot,
  { contents, placement }: Delivery,
  { temporary, objects, objectsPath }: Destination,
): Promise<void> {
  const sent = new Set<string>();
  for (const file of snapshot.files) {
    const object = objectName(file);
    if (object === undefined || file.type !== 'file' || !contents.has(object) || sent.has(object)) continue;
    sent.add(object);
    await packFile(pack, snapshot.directory, `${temporary}/objects/${object}`, file);
  }

  const isLinked = placement === 'link';
  const links = new Map<string, number>();
  for (const file of snapshot.files) {
    const name = `${temporary}/${isLinked ? 'code' : 'tree'}/${file.path}`;
    const object = objectName(file);
    switch (file.type) {
      case 'directory':
        pack.entry({ name, type: 'directory', mode: 0o755, mtime });
        break;
      case 'symlink':
        pack.entry({
          name: isLinked ? name : `${temporary}/symlinks/${file.path}`,
          type: 'symlink',
          linkname: file.target,
          mtime,
        });
        break;
      case 'file': {
        const count = links.get(object ?? '') ?? 0;
        if (object === undefined || (isLinked && count >= maximumLinks)) {
          await packFile(pack, snapshot.directory, name, file);
          break;
        }
        links.set(object, count + 1);
        if (isLinked) {
          const linkname = `${sent.has(object) ? `${temporary}/objects` : objects}/${object}`;
          pack.entry({ name, type: 'link', linkname, mtime });
        } else pack.entry({ name, type: 'symlink', linkname: `${objectsPath}/${object}`, mtime });
      }
    }
  }
}

// Files get the time at which they are unpacked; one time for all of them makes the tar compress better.
const mtime = new Date(0);

async function packFile(
  pack: Pack,
  directory: string,
  name: string,
  file: SnapshotFile & { type: 'file' },
): Promise<void> {
  const mode = file.isExecutable ? 0o555 : 0o444;
  const changed = (cause?: unknown) =>
    new HpcrunError('CODE_UNSENDABLE', `${file.path} changed while it was being sent`, {
      hint: 'Run the command again when nothing writes to the project; name outputs in .hpcrunignore.',
      cause,
    });
  const hash = createHash('sha256');
  const hashed = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const entry = pack.entry({ name, size: file.sizeBytes, mode, mtime });
  try {
    await pipeline(createReadStream(join(directory, file.path)), hashed, entry);
  } catch (error) {
    throw changed(error);
  }
  if (hash.digest('hex') !== file.digest) throw changed();
}
