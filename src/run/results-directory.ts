import { lchown, mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { resultsDirectoryName } from '../cluster/select-files.js';
import { isSystemError } from '../errors.js';
import type { Owner } from './work-copy.js';

/**
 * Makes the directory that is to hold a directory of results. Results are no part of the project: git, and with it the
 * next snapshot, is told to pass them over. `owner` is given where root makes it for somebody else.
 */
export async function prepareResultsParent(directory: string, owner?: Owner): Promise<void> {
  const parent = dirname(directory);
  const first = await mkdir(parent, { recursive: true });
  if (owner !== undefined && first !== undefined) {
    for (let made = parent; made.length >= first.length; made = dirname(made)) await lchown(made, owner.uid, owner.gid);
  }
  if (basename(parent) !== resultsDirectoryName) return;
  const ignoreFile = join(parent, '.gitignore');
  try {
    await writeFile(ignoreFile, '*\n', { flag: 'wx' });
    if (owner !== undefined) await lchown(ignoreFile, owner.uid, owner.gid);
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) throw error;
  }
}
