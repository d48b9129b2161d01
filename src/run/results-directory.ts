import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { resultsDirectoryName } from '../cluster/select-files.js';
import { isSystemError } from '../errors.js';

/**
 * Makes the directory that is to hold a directory of results. Results are no part of the project: git, and with it the
 * next snapshot, is told to pass them over.
 */
export async function prepareResultsParent(directory: string): Promise<void> {
  const parent = dirname(directory);
  await mkdir(parent, { recursive: true });
  if (basename(parent) !== resultsDirectoryName) return;
  try {
    await writeFile(join(parent, '.gitignore'), '*\n', { flag: 'wx' });
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) throw error;
  }
}
