import { execa } from 'execa';
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { throwIfInterrupted } from '../../errors.js';
import { digest } from '../../image/convert.js';
import type { ContainerEngine } from '../../image/engine.js';
import { mtimeOf } from '../../local-file.js';
import { formatBytes } from '../../progress.js';
import { squashArguments } from './build-functions.js';
import { conversionFailed } from './explain-failure.js';
import type { ApptainerWay, ConversionContext, WayOptions } from './way-in.js';

const programs = ['apptainer', 'singularity'];
const directoryPrefix = '.apptainer-build-';
const abandonedAfterMs = 24 * 60 * 60 * 1000;

interface Program {
  name: string;
  /** What `--version` says. */
  version: string;
}

/** `apptainer build` on this machine, from an archive of the image beside the output. */
export function apptainerWay({ engine, compression, env }: ConversionContext): ApptainerWay {
  return {
    name: 'apptainer',
    place: 'local',
    recipe: `apptainer ${compression}`,
    probe: async (signal) => {
      const found = await findProgram(env, signal);
      return found
        ? { possible: true, why: `${found.version} is here` }
        : { possible: false, why: 'neither apptainer nor singularity is on this machine' };
    },
    convert: async (info, options) => {
      const { outputPath, signal } = options;
      const program = await findProgram(env, signal);
      if (!program) {
        const output = 'neither apptainer nor singularity is on this machine';
        throw conversionFailed({ way: 'apptainer', place: 'this machine', status: 127, output });
      }
      const directory = await makeDirectory(outputPath);
      try {
        const archive = join(directory, 'image.tar');
        await saveArchive(await engine(), info.id, archive, options);
        const squash = squashArguments[compression];
        await build(program.name, { archive, directory, squash, env }, options);
        return { place: 'local', path: outputPath, isNative: false, ...(await digest(outputPath, signal)) };
      } finally {
        await removeTree(directory);
      }
    },
  };
}

async function findProgram(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<Program | undefined> {
  for (const name of programs) {
    const result = await execa(name, ['--version'], { env, reject: false, stdin: 'ignore', cancelSignal: signal });
    throwIfInterrupted(signal);
    if (result.exitCode === 0) return { name, version: result.stdout.trim().split('\n')[0] ?? name };
  }
  return undefined;
}

/** On the disk of the output, not in /tmp. What a killed build left there is removed after a day. */
async function makeDirectory(outputPath: string): Promise<string> {
  const parent = dirname(outputPath);
  for (const name of await readdir(parent)) {
    const path = join(parent, name);
    if (name.startsWith(directoryPrefix) && Date.now() - (await mtimeOf(path)) > abandonedAfterMs)
      await removeTree(path);
  }
  const directory = join(parent, `${directoryPrefix}${randomBytes(6).toString('hex')}`);
  await mkdir(directory, { mode: 0o700 });
  return directory;
}

async function saveArchive(
  engine: ContainerEngine,
  imageId: string,
  path: string,
  { signal, onProgress }: WayOptions,
): Promise<void> {
  const archive = await engine.saveArchive(imageId, { signal });
  let bytes = 0;
  archive.stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    onProgress(`${formatBytes(bytes)} read`);
  });
  try {
    await pipeline(archive.stream, createWriteStream(path), { signal });
    await archive.completed;
  } catch (error) {
    throwIfInterrupted(signal);
    throw error;
  } finally {
    await archive.dispose();
  }
}

async function build(
  program: string,
  { archive, directory, squash, env }: { archive: string; directory: string; squash: string; env: NodeJS.ProcessEnv },
  { outputPath, signal, onProgress }: WayOptions,
): Promise<void> {
  const help = await execa(program, ['build', '--help'], { env, reject: false, stdin: 'ignore', cancelSignal: signal });
  throwIfInterrupted(signal);
  // Releases differ in what they know.
  const known = [['--disable-cache'], ['--fix-perms'], ['--mksquashfs-args', squash]].filter(([option = '']) =>
    help.stdout.includes(option),
  );
  const temporary = { TMPDIR: join(directory, 'tmp'), CACHEDIR: join(directory, 'cache') };
  for (const path of Object.values(temporary)) await mkdir(path);
  const child = execa(program, ['build', '--force', ...known.flat(), outputPath, `docker-archive:${archive}`], {
    env: {
      ...env,
      ...Object.fromEntries(
        ['APPTAINER', 'SINGULARITY'].flatMap((prefix) =>
          Object.entries(temporary).map(([name, path]) => [`${prefix}_${name}`, path]),
        ),
      ),
    },
    reject: false,
    all: true,
    stdin: 'ignore',
    cancelSignal: signal,
  });
  child.all.setEncoding('utf8').on('data', (text: string) => {
    const said = [...text.matchAll(/^INFO:\s+(.*)$/gm)].at(-1)?.[1];
    if (said !== undefined) onProgress(said);
  });
  const result = await child;
  throwIfInterrupted(signal);
  if (result.exitCode === 0) return;
  const status = result.exitCode ?? 137;
  throw conversionFailed({ way: 'apptainer', place: 'this machine', status, output: result.all });
}

/** An unpacked image may hold directories that not even their owner may write to. */
async function removeTree(directory: string): Promise<void> {
  await execa('chmod', ['-R', 'u+rwX', directory], { reject: false });
  await rm(directory, { recursive: true, force: true });
}
