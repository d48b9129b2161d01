import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** What V8 made of a script's text, and the commands that have been run with it so far: it holds the functions these have used. */
export interface CachedCode {
  commands: string[];
  data: Buffer;
}

const digestBytes = 32;
const staleAfterMs = 30 * 24 * 60 * 60 * 1000;

/** Undefined where there is none, or a damaged one: V8 itself looks at no more than a few numbers of it. */
export async function readCachedCode(path: string): Promise<CachedCode | undefined> {
  let content: Buffer;
  try {
    content = await readFile(path);
  } catch {
    // Whatever is wrong with it, all works without, and says so where it matters.
    return undefined;
  }
  const body = content.subarray(digestBytes);
  if (!digest(body).equals(content.subarray(0, digestBytes))) return undefined;
  const end = body.indexOf('\n');
  return { commands: body.toString('utf8', 0, end).split(' '), data: body.subarray(end + 1) };
}

/** Writes it whole or not at all, and removes what other versions of hpcrun or Node have not written for a month. */
export async function writeCachedCode(path: string, { commands, data }: CachedCode): Promise<void> {
  const body = Buffer.concat([Buffer.from(`${commands.join(' ')}\n`), data]);
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}.part`;
  try {
    await writeFile(temporary, Buffer.concat([digest(body), body]), { mode: 0o600 });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  for (const name of await readdir(directory)) {
    const other = join(directory, name);
    if (Date.now() - (await stat(other)).mtimeMs > staleAfterMs) await rm(other, { force: true });
  }
}

function digest(body: Buffer): Buffer {
  return createHash('sha256').update(body).digest();
}
