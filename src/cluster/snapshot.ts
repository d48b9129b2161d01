import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Pack } from 'tar-stream';
import { HpcrunError } from '../errors.js';
import { formatBytes } from '../progress.js';
import { reading, selectFiles, type ProjectFile } from './select-files.js';

const maximumBytes = 2e9;
const namedFiles = 5;
const hashedAtOnce = 16;
const maximumTarTime = (2 ** 31 - 1) * 1000;

/** The project's code at one moment. */
export interface Snapshot {
  /** Hex sha256 over path, kind, mode and content of every file; times are not part of it. */
  treeHash: string;
  directory: string;
  files: SnapshotFile[];
  sizeBytes: number;
}

/** `digest`: hex sha256 of a file's content or of a link's target. */
type SnapshotFile = ProjectFile & { digest: string };

/** Lists and hashes a project. Throws CODE_UNSENDABLE, also when it is larger than 2 GB. */
export async function takeSnapshot(directory: string): Promise<Snapshot> {
  const files = await selectFiles(directory);
  const sizeBytes = files.reduce((sum, file) => sum + (file.type === 'file' ? file.sizeBytes : 0), 0);
  if (sizeBytes > maximumBytes) throw tooLarge(files, sizeBytes);

  const digested: SnapshotFile[] = [];
  for (let from = 0; from < files.length; from += hashedAtOnce) {
    const batch = files.slice(from, from + hashedAtOnce);
    digested.push(
      ...(await Promise.all(batch.map(async (file) => ({ ...file, digest: await digest(directory, file) })))),
    );
  }
  return { treeHash: sha256(digested.map(renderTreeLine).join('')), directory, files: digested, sizeBytes };
}

async function digest(directory: string, file: ProjectFile): Promise<string> {
  switch (file.type) {
    case 'file': {
      const hash = createHash('sha256');
      await reading(pipeline(createReadStream(join(directory, file.path)), hash));
      return hash.digest('hex');
    }
    case 'symlink':
      return sha256(file.target);
    case 'directory':
      return sha256('');
  }
}

function renderTreeLine(file: SnapshotFile): string {
  const mode = file.type === 'file' && file.isExecutable ? '755' : '644';
  return `${file.type} ${mode} ${file.digest} ${file.path}\0`;
}

function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

function tooLarge(files: ProjectFile[], sizeBytes: number): HpcrunError {
  const largest = files
    .flatMap((file) => (file.type === 'file' ? [file] : []))
    .sort((a, b) => b.sizeBytes - a.sizeBytes)
    .slice(0, namedFiles)
    .map((file) => `  ${formatBytes(file.sizeBytes).padStart(8)}  ${file.path}`);
  return new HpcrunError(
    'CODE_UNSENDABLE',
    `the project is ${formatBytes(sizeBytes)}; up to ${formatBytes(maximumBytes)} is sent as code. Its largest files:\n${largest.join('\n')}`,
    { hint: 'Name data in .gitignore or .hpcrunignore, copy it to the cluster once, and bind it with -v.' },
  );
}

/** Writes a snapshot's files into a tar, below `prefix`. Throws CODE_UNSENDABLE if a file has changed meanwhile. */
export async function packSnapshot(pack: Pack, snapshot: Snapshot, prefix: string): Promise<void> {
  for (const file of snapshot.files) {
    const name = `${prefix}/${file.path}`;
    switch (file.type) {
      case 'directory':
        pack.entry({ name, type: 'directory', mode: 0o755 });
        break;
      case 'symlink':
        pack.entry({ name, type: 'symlink', linkname: file.target });
        break;
      case 'file':
        await packFile(pack, snapshot.directory, name, file);
    }
  }
}

/** The nearest time that a tar can hold. */
function storable(mtime: Date): Date {
  return new Date(Math.min(Math.max(mtime.getTime(), 0), maximumTarTime));
}

async function packFile(
  pack: Pack,
  directory: string,
  name: string,
  file: SnapshotFile & { type: 'file' },
): Promise<void> {
  const mode = file.isExecutable ? 0o755 : 0o644;
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
  const entry = pack.entry({ name, size: file.sizeBytes, mode, mtime: storable(file.mtime) });
  try {
    await pipeline(createReadStream(join(directory, file.path)), hashed, entry);
  } catch (error) {
    throw changed(error);
  }
  if (hash.digest('hex') !== file.digest) throw changed();
}
