import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonFile, writeAtomically } from '../local-file.js';
import { digest, type ConvertedImage } from './convert.js';

const entrySchema = z.object({ key: z.string(), sha256: z.string(), sizeBytes: z.int() });

/**
 * The sha256 and size of a file, remembered in `directory` for as long as the file has the same inode, size and times:
 * hashing some gigabytes takes longer than everything else of a warm submission.
 */
export async function digestOnce(path: string, directory: string, signal: AbortSignal): Promise<ConvertedImage> {
  const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  const key = [ino, size, mtimeNs, ctimeNs].join(' ');
  const file = join(directory, `${createHash('sha256').update(path).digest('hex')}.json`);
  const known = await readJsonFile(file, entrySchema);
  if (known?.key === key) return { sha256: known.sha256, sizeBytes: known.sizeBytes };
  const found = await digest(path, signal);
  await writeAtomically(file, JSON.stringify({ key, ...found }));
  return found;
}
