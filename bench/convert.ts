import { execa } from 'execa';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageDirectory } from '../src/package-directory.js';
import { formatBytes } from '../src/progress.js';
import { inContainer, listContainer, measure, ownChildren, type Measurement } from './measure.js';

const sandboxName = 'hpcrun-bench';
const login = `${sandboxName}-login`;

interface Result extends Measurement {
  name: string;
  sizeBytes: number | undefined;
}

/**
 * Docker image → SIF: hpcrun beside `docker export | mksquashfs` alone (the floor) and `apptainer build`, in one run. The
 * image is examples/digits, bench/images/pytorch with `--pytorch`, or any image of the engine with `--image`.
 */
export async function benchConvert(args: string[]): Promise<void> {
  const image = await chooseImage(args);
  const directory = await mkdtemp(join(tmpdir(), 'hpcrun-bench-'));
  try {
    const environment = { HPCRUN_SANDBOX_NAME: sandboxName, XDG_STATE_HOME: directory };
    await runHpcrun(['sandbox', 'up', '--install-engine'], environment);
    try {
      const rounds: Result[][] = [];
      // Whoever comes first reads a cold disk: the local ways take turns, and each one's best round counts.
      for (let round = 0; round < 3; round += 1) {
        rounds.push([await convertNatively(image, directory), await convertBare(image, directory)]);
      }
      print([best(rounds, 0), best(rounds, 1), ...(await convertWithApptainer(image))], image);
    } finally {
      await runHpcrun(['sandbox', 'down', '--keep-images'], environment);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function best(rounds: Result[][], index: number): Result {
  const results = rounds.flatMap((round) => round[index] ?? []);
  return results.reduce((fastest, result) => (result.seconds < fastest.seconds ? result : fastest));
}

async function runHpcrun(args: string[], env: Record<string, string>): Promise<void> {
  await execa('node', [join(packageDirectory(), 'bin', 'hpcrun.js'), ...args], {
    env,
    stdout: 'ignore',
    stderr: 'inherit',
  });
}

async function chooseImage(args: string[]): Promise<string> {
  const named = args.indexOf('--image');
  if (named !== -1) return args[named + 1] ?? '';
  const [tag, context] = args.includes('--pytorch')
    ? ['hpcrun-bench/pytorch', join(packageDirectory(), 'bench', 'images', 'pytorch')]
    : ['hpcrun-bench/digits', join(packageDirectory(), 'examples', 'digits')];
  process.stderr.write(`building ${tag}\n`);
  await execa('docker', ['build', '--tag', tag, context], { all: true });
  return tag;
}

async function convertNatively(image: string, directory: string): Promise<Result> {
  const output = join(directory, 'native.sif');
  const script = join(packageDirectory(), 'dist', 'bench', 'convert-one.js');
  const measured = await measure(ownChildren, async () => {
    await execa('node', [script, image, output]);
  });
  return { name: 'hpcrun', ...measured, sizeBytes: (await stat(output)).size };
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
  const { stdout: id } = await execa('docker', ['inspect', '--format', '{{.Id}}', login]);
  const before = await listContainer(id);
  const inLogin = ['exec', '--interactive', '--user', 'researcher', login, 'sh', '-c'];
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
