import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { HpcrunError } from '../errors.js';
import { formatBytes } from '../progress.js';
import { printable } from '../ssh/terminal-text.js';
import { reading, selectFiles, type ProjectFile } from './select-files.js';

const maximumBytes = 2e9;
const namedFiles = 5;
const hashedAtOnce = 16;

/** The project's code at one moment. */
export interface Snapshot {
  /** Hex sha256 over path, kind, mode and content of every file; times are not part of it. */
  treeHash: string;
  directory: string;
  files: SnapshotFile[];
  sizeBytes: number;
}

/** `digest`: hex sha256 of a file's content or of a link's target. */
export type SnapshotFile = ProjectFile & { digest: string };

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
  return new HpcrunError(
    'CODE_UNSENDABLE',
    `the project is ${formatBytes(sizeBytes)}; up to ${formatBytes(maximumBytes)} is sent as code. Its largest files:\n${listLargest(files)}`,
    { hint: 'Name data in .gitignore or .hpcrunignore, copy it to the cluster once, and bind it with -v.' },
  );
}

/** The largest files with their sizes, one a line, the largest first. */
export function listLargest(files: readonly ProjectFile[]): string {
  return files
    .flatMap((file) => (file.type === 'file' ? [file] : []))
    .sort((a, b) => b.sizeBytes - a.sizeBytes)
    .slice(0, namedFiles)
    .map((file) => `  ${formatBytes(file.sizeBytes).padStart(8)}  ${printable(file.path)}`)
    .join('\n');
}
