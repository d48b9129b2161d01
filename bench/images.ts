import { execa } from 'execa';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageDirectory } from '../src/package-directory.js';

/** Builds the image to be measured: examples/digits, bench/images/pytorch with `--pytorch`, or the one `--image` names. */
export async function chooseImage(args: string[]): Promise<string> {
  const named = args.indexOf('--image');
  if (named !== -1) return args[named + 1] ?? '';
  const [tag, context] = args.includes('--pytorch')
    ? ['hpcrun-bench/pytorch', join(packageDirectory(), 'bench', 'images', 'pytorch')]
    : ['hpcrun-bench/digits', join(packageDirectory(), 'examples', 'digits')];
  process.stderr.write(`building ${tag}\n`);
  await execa('docker', ['build', '--tag', tag, context], { all: true });
  return tag;
}

/** @param directory for the build's context */
export async function buildImage(tag: string, dockerfile: string, directory: string): Promise<string> {
  const context = await mkdtemp(join(directory, 'context-'));
  await writeFile(join(context, 'Dockerfile'), dockerfile);
  await execa('docker', ['build', '--tag', tag, context], { all: true });
  return tag;
}

/** The image with a script of one line in it, before and after that line was changed. */
export async function changeOneLine(image: string, directory: string): Promise<{ before: string; after: string }> {
  const script = (line: string) => `FROM ${image}\nUSER root\nRUN echo '${line}' >/opt/train.py\n`;
  return {
    before: await buildImage(`${image}-before`, script('print(1)'), directory),
    after: await buildImage(`${image}-line`, script('print(2)'), directory),
  };
}

/** The image with one of Debian's packages more, and two sizes to compare an upload with; bytes. */
export interface LargerImage {
  image: string;
  /** What apt fetched, compressed with xz, without the byte code that installing it makes. */
  debBytes: number;
  /** What was added to the image, compressed with gzip: what `docker push` would send. */
  layerBytes: number;
}

export async function addPackage(image: string, name: string, directory: string): Promise<LargerImage> {
  const install = `apt-get install -y --no-install-recommends ${name}`;
  const script = `apt-get update >/dev/null && ${install} -qq --print-uris`;
  const { stdout } = await execa('docker', ['run', '--rm', '--user', '0', '--entrypoint', 'sh', image, '-c', script]);
  // A line is 'URI' FILE SIZE HASH.
  const sizes = [...stdout.matchAll(/^'[^']+' \S+\.deb (\d+) /gm)].map(([, size]) => Number(size));
  if (sizes.length === 0) throw new Error(`${name} brings nothing new to ${image}`);
  const run = `apt-get update && ${install} && apt-get clean && rm -rf /var/lib/apt/lists/*`;
  const larger = await buildImage(`${image}-package`, `FROM ${image}\nUSER root\nRUN ${run}\n`, directory);
  return {
    image: larger,
    debBytes: sizes.reduce((sum, size) => sum + size, 0),
    layerBytes: await compressedTopLayer(larger, directory),
  };
}

async function compressedTopLayer(image: string, directory: string): Promise<number> {
  const archive = join(directory, 'layers.tar');
  await execa('docker', ['save', '--output', archive, image]);
  const { stdout } = await execa('tar', ['-xOf', archive, 'manifest.json']);
  const [{ Layers: layers }] = JSON.parse(stdout) as [{ Layers: string[] }];
  const script = 'tar -xOf "$1" "$2" | gzip -c | wc -c';
  const { stdout: size } = await execa('sh', ['-c', script, 'sh', archive, layers.at(-1) ?? '']);
  await rm(archive);
  return Number(size);
}
