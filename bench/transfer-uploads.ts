import { execa } from 'execa';
import { join } from 'node:path';
import { formatBytes } from '../src/progress.js';
import { measureHpcrun, type HpcrunResult } from './hpcrun-process.js';
import { addPackage, buildImage, changeOneLine } from './images.js';
import { far, rsync, scp, type RivalResult } from './rivals.js';
import {
  accessThrough,
  benchEnvironment,
  configureClusters,
  farHome,
  hpcrunPath,
  removeFar,
  type Access,
} from './sandbox.js';
import { withSlowLink } from './slow-link-process.js';
import { best, speedBeside, type Row } from './transfer-table.js';

/** What the parts of the bench share. */
export interface TransferBench {
  /** For everything this machine keeps; removed at the end. */
  directory: string;
  image: string;
  access: Access;
  quick: boolean;
}

const roundTripMs = 50;
const narrowBytesPerSecond = 20e6 / 8;
// On top of a small base image: together about 60 MB, half a minute at 20 Mbit/s.
const narrowImage = 'FROM debian:trixie-slim\nRUN head -c 30000000 /dev/urandom >/opt/random\n';

/** An image that has changed by one line and by one package, sent as a stack and as a full SIF. */
export async function measureChanges({ directory, image, access }: TransferBench): Promise<Row[]> {
  const { before, after } = await changeOneLine(image, directory);
  const { image: larger, debBytes, layerBytes } = await addPackage(before, 'python3-pandas', directory);
  await configureClusters(directory, {
    stack: { access, root: `${farHome}/stack`, overlays: true },
    full: { access, root: `${farHome}/full`, overlays: false },
  });
  const rows: Row[] = [];
  for (const cluster of ['stack', 'full']) {
    const how = cluster === 'stack' ? 'as a stack' : 'as a full SIF';
    for (const tag of [before, after, larger]) await convert(tag, directory, cluster === 'stack');
    const { sizeBytes } = await push(before, cluster, directory);
    const line = await push(after, cluster, directory);
    const added = await push(larger, cluster, directory);
    const unchanged = await push(larger, cluster, directory);
    const share = `${((100 * line.wireBytes) / sizeBytes).toFixed(3)} % of ${formatBytes(sizeBytes)}`;
    const times = (bytes: number) => `${(added.wireBytes / bytes).toFixed(2)} × ${formatBytes(bytes)}`;
    const timesPackage = `${times(layerBytes)} of its layer with gzip, ${times(debBytes)} of .deb files`;
    rows.push(
      { what: `one line changed, ${how}`, hpcrun: line, rivals: {}, figure: share, goal: '≤ 0.5 %' },
      { what: `one package more, ${how}`, hpcrun: added, rivals: {}, figure: timesPackage, goal: '≤ 1.3' },
      { what: `unchanged, ${how}`, hpcrun: unchanged, rivals: {}, figure: '', goal: 'the question' },
    );
  }
  return rows;
}

/** An image the cluster has nothing of: on loopback, over a long link and over a narrow one. */
export async function measureFirstUploads(bench: TransferBench): Promise<Row[]> {
  const { directory, image, access, quick } = bench;
  const long = { host: '127.0.0.1', port: access.port, delayMs: roundTripMs / 2 };
  const narrow = { host: '127.0.0.1', port: access.port, delayMs: 10, bytesPerSecond: narrowBytesPerSecond };
  const small = await buildImage('hpcrun-bench/random', narrowImage, directory);
  const rounds = quick ? 1 : 3;

  const near = await measureFirstUpload(bench, image, access, rounds, { scp, rsync });
  const overLong = await withSlowLink(long, async (port) =>
    measureFirstUpload(bench, image, await accessThrough(access, port), rounds, { scp }),
  );
  const overNarrow = await withSlowLink(narrow, async (port) =>
    measureFirstUpload(bench, small, await accessThrough(access, port), 1, { scp }),
  );
  const ofLine = overNarrow.sizeBytes / overNarrow.hpcrun.seconds / narrowBytesPerSecond;
  const size = formatBytes(near.sizeBytes);
  return [
    { ...near, what: `first upload, ${size}, loopback`, figure: speedBeside(near.hpcrun, near.rivals), goal: '≥ 1.0' },
    {
      ...overLong,
      what: `first upload, ${size}, ${roundTripMs} ms round trip`,
      figure: speedBeside(overLong.hpcrun, overLong.rivals),
      goal: '≥ 3',
    },
    {
      ...overNarrow,
      what: `first upload, ${formatBytes(overNarrow.sizeBytes)}, 20 Mbit/s`,
      figure: `${ofLine.toFixed(3)} of the line`,
      goal: '≥ 0.95',
    },
  ];
}

type Rival = typeof scp;

interface FirstUpload {
  hpcrun: HpcrunResult;
  rivals: Record<string, RivalResult>;
  sizeBytes: number;
}

/** hpcrun and its rivals take turns; everybody's best round counts. */
async function measureFirstUpload(
  { directory }: TransferBench,
  image: string,
  access: Access,
  rounds: number,
  rivals: Record<string, Rival>,
): Promise<FirstUpload> {
  const root = `${farHome}/first`;
  await configureClusters(directory, { first: { access, root, overlays: false } });
  const file = join(directory, 'image.sif');
  await convert(image, directory, false, file);
  const own: (HpcrunResult & { sizeBytes: number })[] = [];
  const others: Record<string, RivalResult[]> = {};
  for (let round = 0; round < rounds; round += 1) {
    own.push(await push(image, 'first', directory));
    await removeFar(root);
    for (const [name, copy] of Object.entries(rivals)) {
      (others[name] ??= []).push(await copy(access, file, far(`${farHome}/rival.sif`)));
      await removeFar(`${farHome}/rival.sif`);
    }
  }
  const fastest = best(own);
  const bestRivals = Object.entries(others).map(([name, results]): [string, RivalResult] => [name, best(results)]);
  return { hpcrun: fastest, rivals: Object.fromEntries(bestRivals), sizeBytes: fastest.sizeBytes };
}

/** Into the cache, so that an upload that follows is an upload alone; and into a file, for those who know no cache. */
async function convert(image: string, directory: string, overlays: boolean, file?: string): Promise<void> {
  process.stderr.write(`converting ${image}\n`);
  const options = ['--compression', 'zstd', ...(overlays ? [] : ['--no-overlays'])];
  const output = file === undefined ? ['--report', image] : ['--force', image, file];
  await execa('node', [hpcrunPath, 'convert', ...options, ...output], { env: benchEnvironment(directory) });
}

async function push(image: string, cluster: string, directory: string): Promise<HpcrunResult & { sizeBytes: number }> {
  process.stderr.write(`uploading ${image} to ${cluster}\n`);
  const result = await measureHpcrun(['push', image, '--cluster', cluster], { directory });
  const { parts } = result.objects.find(({ type }) => type === 'pushed') as { parts: { sizeBytes: number }[] };
  return { ...result, sizeBytes: parts.reduce((sum, part) => sum + part.sizeBytes, 0) };
}
