import { execa } from 'execa';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chooseImage } from './images.js';
import { sandboxAccess, withSandbox } from './sandbox.js';
import { renderTable, type Row } from './transfer-table.js';
import { measurePulls } from './transfer-pulls.js';
import { measureChanges, measureFirstUploads } from './transfer-uploads.js';

const parts = { changes: measureChanges, first: measureFirstUploads, pulls: measurePulls };

/**
 * Bytes and time between this machine and a cluster, beside scp and rsync with the same cipher and key, in one run: images
 * that have changed a little, first uploads over three kinds of links, results. The image is examples/digits, or
 * bench/images/pytorch with `--pytorch`; `--quick` measures once instead of three times, and with smaller files;
 * `--only changes | first | pulls` measures one part.
 */
export async function benchTransfer(args: string[]): Promise<void> {
  const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : undefined;
  for (const rival of ['rsync', 'scp']) await requireProgram(rival);
  const image = await chooseImage(args);
  const directory = await mkdtemp(join(tmpdir(), 'hpcrun-bench-'));
  try {
    await withSandbox(directory, async () => {
      const bench = { directory, image, access: await sandboxAccess(directory), quick: args.includes('--quick') };
      const rows: Row[] = [];
      for (const [name, measurePart] of Object.entries(parts))
        if (only === undefined || only === name) rows.push(...(await measurePart(bench)));
      process.stdout.write(`${image}\n\n${renderTable(rows)}`);
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function requireProgram(name: string): Promise<void> {
  const { exitCode } = await execa('sh', ['-c', 'command -v "$1"', 'sh', name], { reject: false });
  if (exitCode !== 0) throw new Error(`${name} is measured beside hpcrun and is not installed here`);
}
