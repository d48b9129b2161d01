import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The directory that holds package.json, slurm-templates and sandbox, both in a checkout and when installed. */
export function packageDirectory(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json'))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error('hpcrun is not installed with its package.json');
    directory = parent;
  }
  return directory;
}

/** hpcrun's own version. */
export function packageVersion(): string {
  const text = readFileSync(join(packageDirectory(), 'package.json'), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return version;
}
