import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** An empty directory that is removed when the running test has ended. */
export async function makeTemporaryDirectory(): Promise<string> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'hpcrun-unit-')));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
