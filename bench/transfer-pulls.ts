import { execa } from 'execa';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { measureHpcrun, type HpcrunResult } from './hpcrun-process.js';
import { far, rsync, scp, type RivalResult } from './rivals.js';
import { configureClusters, farHome, onLogin, type Access } from './sandbox.js';
import { best, speedBeside, type Row } from './transfer-table.js';
import type { TransferBench } from './transfer-uploads.js';

const root = `${farHome}/pulls`;

/** Results: many small files, nothing new, one large file. */
export async function measurePulls({ directory, access, quick }: TransferBench): Promise<Row[]> {
  await configureClusters(directory, { pulls: { access, root, overlays: false } });
  const project = join(directory, 'project');
  await mkdir(project);
  await writeFile(
    join(project, 'hpcrun.yaml'),
    JSON.stringify({ cluster: 'pulls', image: { name: 'debian:trixie-slim' } }),
  );
  const rounds = quick ? 1 : 3;
  const small = await makeRun(
    { directory, project },
    'for part in $(seq 100); do mkdir $part && (cd $part && head -c 409600 /dev/urandom | split -b 4096 -a 3 -d); done',
  );
  const fresh = await measureFresh({ directory, project, access }, small, rounds, '');
  const again = await measureAgain({ directory, project, access }, small, rounds);
  const gigabytes = quick ? 1 : 4;
  const large = await makeRun({ directory, project }, `head -c ${gigabytes}000000000 /dev/urandom >large`);
  const whole = await measureFresh({ directory, project, access }, large, rounds, 'large');
  return [
    { ...fresh, what: '10,000 files of 4 KiB pulled', figure: speedBeside(fresh.hpcrun, fresh.rivals), goal: '≥ 1.0' },
    { ...again, what: 'the same, nothing new', figure: speedBeside(again.hpcrun, again.rivals), goal: '≥ 1.0' },
    {
      ...whole,
      what: `one file of ${gigabytes} GB pulled`,
      figure: speedBeside(whole.hpcrun, whole.rivals),
      goal: '≥ 0.9',
    },
  ];
}

interface Place {
  directory: string;
  project: string;
}

interface Pull {
  hpcrun: HpcrunResult;
  rivals: Record<string, RivalResult>;
}

/** A run whose results are what `script` writes into its work directory; returns its id. */
async function makeRun({ directory, project }: Place, script: string): Promise<string> {
  process.stderr.write('making results\n');
  const { objects } = await measureHpcrun(['submit', '--wait', '--', 'true'], { directory, cwd: project });
  const runId = String(objects[0]?.runId);
  await onLogin(`cd ${workOf(runId)} && { ${script}; }`);
  return runId;
}

function workOf(runId: string): string {
  return `${root}/runs/${runId}/work`;
}

/** Into an empty directory each time: a tree beside `rsync -a`, or one `file` beside scp. */
async function measureFresh(
  { access, ...place }: Place & { access: Access },
  runId: string,
  rounds: number,
  file: string,
): Promise<Pull> {
  const own: HpcrunResult[] = [];
  const others: RivalResult[] = [];
  // ext4 does not use the inodes of files again that were deleted a moment ago, and passes them over one by one: whoever comes
  // after a deletion pays for it. So the many small files are removed at the end only; large ones would fill the memory.
  const targets = join(place.directory, `pulled-${runId}`);
  for (let round = 0; round < rounds; round += 1) {
    const [ownTarget, otherTarget] = [join(targets, `${round}`), join(targets, `${round}-other`)];
    await mkdir(otherTarget, { recursive: true });
    own.push(await pull(place, runId, ownTarget));
    others.push(await (file === '' ? rsync : scp)(access, far(`${workOf(runId)}/${file}`), otherTarget));
    if (file !== '') await rm(targets, { recursive: true });
  }
  return { hpcrun: best(own), rivals: { [file === '' ? 'rsync -a' : 'scp']: best(others) } };
}

async function measureAgain(
  { access, ...place }: Place & { access: Access },
  runId: string,
  rounds: number,
): Promise<Pull> {
  const own: HpcrunResult[] = [];
  const others: RivalResult[] = [];
  const [ownTarget, otherTarget] = [join(place.directory, 'pulled'), join(place.directory, 'synchronized')];
  const synchronize = () => rsync(access, far(`${workOf(runId)}/`), otherTarget);
  await pull(place, runId, ownTarget);
  await synchronize();
  for (let round = 0; round < rounds; round += 1) {
    own.push(await pull(place, runId, ownTarget));
    others.push(await synchronize());
  }
  // Both have brought the same; the project's own file is no result.
  await execa('diff', ['--recursive', '--exclude=hpcrun.yaml', ownTarget, otherTarget]);
  for (const target of [ownTarget, otherTarget]) await rm(target, { recursive: true });
  return { hpcrun: best(own), rivals: { 'rsync -a': best(others) } };
}

async function pull({ directory, project }: Place, runId: string, target: string): Promise<HpcrunResult> {
  process.stderr.write(`pulling ${runId}\n`);
  return await measureHpcrun(['pull-results', runId, '--to', target], { directory, cwd: project });
}
