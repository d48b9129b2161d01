import { lchown, mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { resultsDirectoryName } from '../cluster/results-directory-name.js';
import { HpcrunError, isSystemError, messageOf } from '../errors.js';
import type { Owner } from './work-copy.js';

/**
 * Makes the directory that is to hold a directory of results. Results are no part of the project: git, and with it the
 * next snapshot, is told to pass them over. `owner` is given where root makes it for somebody else. Throws TRANSFER_FAILED.
 */
export async function prepareResultsParent(directory: string, owner?: Owner): Promise<void> {
  const parent = dirname(directory);
  const first = await makeDirectory(parent);
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

/** Returns the first of the directories that had to be made. */
async function makeDirectory(path: string): Promise<string | undefined> {
  try {
    return await mkdir(path, { recursive: true });
  } catch (error) {
    if (
      !['EEXIST', 'ENOTDIR', 'EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT'].some((code) => isSystemError(error, code))
    )
      throw error;
    throw new HpcrunError('TRANSFER_FAILED', `the directory ${path} cannot be made: ${messageOf(error)}`, {
      hint: 'Choose another place with --to.',
      cause: error,
    });
  }
}
