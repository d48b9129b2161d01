import { execa } from 'execa';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatBytes } from '../src/progress.js';
import { buildImage, changeOneLine, chooseImage } from './images.js';
import { inContainer, listContainer, measure, ownChildren, type Measurement } from './measure.js';
import { hpcrunPath, loginContainer, withSandbox } from './sandbox.js';

interface Result extends Measurement {
  name: string;
  sizeBytes: number | undefined;
}

/**
 * Docker image → SIF: hpcrun beside `docker export | mksquashfs` alone (the floor) and `apptainer build`, in one run; then
 * hpcrun after a one-line change of the image, and with an image twice the size. The image is examples/digits,
 * bench/images/pytorch with `--pytorch`, or any image of the engine with `--image`.
 */
export async function benchConvert(args: string[]): Promise<void> {
  const image = await chooseImage(args);
  const directory = await mkdtemp(join(tmpdir(), 'hpcrun-bench-'));
  try {
    await withSandbox(directory, async () => {
      const changed = (await changeOneLine(image, directory)).after;
      const rounds: Result[][] = [];
      // Whoever comes first reads a cold disk: the local ways take turns, and each one's best round counts.
      for (let round = 0; round < 3; round += 1) {
        rounds.push([
          await convertNatively(image, directory),
          await convertBare(image, directory),
          await convertChange(image, changed, directory),
        ]);
      }
      const twice = await convertNatively(await double(image, directory), directory, 'hpcrun, an image twice the size');
      print([best(rounds, 0), best(rounds, 1), ...(await convertWithApptainer(image)), best(rounds, 2), twice], image);
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function best(rounds: Result[][], index: number): Result {
  const results = rounds.flatMap((round) => round[index] ?? []);
  return results.reduce((fastest, result) => (result.seconds < fastest.seconds ? result : fastest));
}

/** As many bytes again, none of them the same, so that nothing is found to be a copy. */
async function double(image: string, directory: string): Promise<string> {
  const { stdout } = await execa('docker', ['image', 'inspect', '--format', '{{.Size}}', image]);
  const megabytes = Math.floor(Number(stdout) / 1e6);
  const fill = `for part in $(seq ${megabytes}); do head -c 1000000 /dev/urandom >/opt/$part; done`;
  return await buildImage(`${image}-twice`, `FROM ${image}\nUSER root\nRUN ${fill}\n`, directory);
}

const zstd = ['--compression', 'zstd', '--force'];

async function convertNatively(image: string, directory: string, name = 'hpcrun convert'): Promise<Result> {
  const output = join(directory, 'native.sif');
  const measured = await measure(ownChildren, async () => {
    await execa('node', [hpcrunPath, 'convert', '--no-cache', ...zstd, image, output]);
  });
  return { name, ...measured, sizeBytes: (await stat(output)).size };
}

/** As `submit` does it: the base has been converted, the changed image becomes an overlay in the cache. */
async function convertChange(image: string, changed: string, directory: string): Promise<Result> {
  const cache = await mkdtemp(join(directory, 'cache-'));
  const env = { XDG_CACHE_HOME: cache };
  await execa('node', [hpcrunPath, 'convert', ...zstd, '--report', image], { env });
  const measured = await measure(ownChildren, async () => {
    const { stdout } = await execa('node', [hpcrunPath, 'convert', ...zstd, '--report', '--json', changed], { env });
    if (!stdout.includes('"how":"stacked"')) throw new Error(`the image was not stacked: ${stdout}`);
  });
  const overlays = (await readdir(join(cache, 'hpcrun', 'sif'))).filter((file) => file.endsWith('.sqfs'));
  const { size } = await stat(join(cache, 'hpcrun', 'sif', overlays[0] ?? ''));
  await rm(cache, { recursive: true });
  return { name: 'hpcrun convert, one line changed', ...measured, sizeBytes: size };
}

async function convertBare(image: string, directory: string): Promise<Result> {
  const output = join(directory, 'bare.sqfs');
  await rm(output, { force: true });
  const compression = '-all-root -comp zstd -Xcompression-level 3';
  const script = `id=$(docker create "$1" true) && docker export "$id" | mksquashfs - "$2" -tar -noappend -no-progress -quiet ${compression}
docker rm "$id"`;
  const measured = await measure(ownChildren, async () => {
    await execa('bash', ['-o', 'pipefail', '-c', script, 'bash', image, output]);
  });
  return { name: 'docker export \\| mksquashfs', ...measured, sizeBytes: (await stat(output)).size };
}

/** In the sandbox, where Apptainer is: the engine's archive is saved into the container, then built from there. */
async function convertWithApptainer(image: string): Promise<Result[]> {
  const { stdout: id } = await execa('docker', ['inspect', '--format', '{{.Id}}', loginContainer]);
  const before = await listContainer(id);
  const inLogin = ['exec', '--interactive', '--user', 'researcher', loginContainer, 'sh', '-c'];
  const saved = await measure(ownChildren, async () => {
    const receive = ['docker', [...inLogin, 'mkdir -p ~/bench/tmp && cat >~/bench/image.tar']] as const;
    await execa('docker', ['save', image], { buffer: { stdout: false } }).pipe(...receive);
  });
  const build =
    'APPTAINER_TMPDIR=~/bench/tmp APPTAINER_CACHEDIR=~/bench/cache apptainer build ~/bench/a.sif docker-archive:$HOME/bench/image.tar';
  const built = await measure(inContainer(id, before), async () => {
    await execa('docker', [...inLogin, build]);
  });
  const { stdout: size } = await execa('docker', [...inLogin, 'stat -c %s ~/bench/a.sif']);
  return [
    { name: 'apptainer build', ...built, sizeBytes: Number(size) },
    { name: 'docker save, for it', ...saved, sizeBytes: undefined },
  ];
}

/** The programs that used more than a few megabytes, the largest first. */
function describePeaks(peakBytes: Map<string, number>): string {
  const shown = [...peakBytes].filter(([, bytes]) => bytes > 10e6).sort(([, a], [, b]) => b - a);
  return shown.map(([program, bytes]) => `${program} ${formatBytes(bytes)}`).join(', ');
}

function print(results: Result[], image: string): void {
  const [own] = results;
  const lines = results.map(({ name, seconds, peakBytes, sizeBytes }) =>
    [
      name,
      `${seconds.toFixed(1)} s`,
      own ? `${(seconds / own.seconds).toFixed(2)} ×` : '',
      describePeaks(peakBytes),
      sizeBytes === undefined ? '' : formatBytes(sizeBytes),
    ].join(' | '),
  );
  process.stdout.write(
    `${image}, zstd level 3\n\n| way | time | beside hpcrun | peak memory | size |\n|---|---|---|---|---|\n${lines.map((line) => `| ${line} |\n`).join('')}`,
  );
}
