import { execa } from 'execa';
import { mkdtemp, writeFile } from 'node:fs/promises';
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

/** The image with one of Debian's packages more, and the size of what was fetched for it, compressed as it comes. */
export async function addPackage(
  image: string,
  name: string,
  directory: string,
): Promise<{ image: string; packageBytes: number }> {
  const install = `apt-get install -y --no-install-recommends ${name}`;
  const script = `apt-get update >/dev/null && ${install} -qq --print-uris`;
  const { stdout } = await execa('docker', ['run', '--rm', '--user', '0', '--entrypoint', 'sh', image, '-c', script]);
  // A line is 'URI' FILE SIZE HASH.
  const sizes = [...stdout.matchAll(/^'[^']+' \S+\.deb (\d+) /gm)].map(([, size]) => Number(size));
  if (sizes.length === 0) throw new Error(`${name} brings nothing new to ${image}`);
  const dockerfile = `FROM ${image}\nUSER root\nRUN apt-get update && ${install} && rm -rf /var/lib/apt/lists/*\n`;
  return {
    image: await buildImage(`${image}-package`, dockerfile, directory),
    packageBytes: sizes.reduce((sum, size) => sum + size, 0),
  };
}
