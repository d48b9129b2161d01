import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { HpcrunError } from '../../errors.js';
import type { ImageInfo, EngineOutput } from '../../image/engine.js';
import { formatBytes } from '../../progress.js';
import type { Connection } from '../../ssh/connection.js';
import { remoteFailure } from '../../ssh/remote-script.js';
import { printable } from '../../ssh/terminal-text.js';
import { jobModules } from '../describe-run.js';
import { archiveEnd, farStatus, type FarBuild } from './build-functions.js';
import { conversionFailed } from './explain-failure.js';
import type { ConversionContext, ConvertedFile, WayName, WayOptions } from './way-in.js';

/** What a build on this cluster has to know; each has a directory of its own there. */
export async function planFarBuild({ layout, cluster, compression }: ConversionContext): Promise<FarBuild> {
  return {
    id: randomBytes(8).toString('hex'),
    layout: await layout(),
    modules: jobModules(cluster),
    compression,
  };
}

// Two empty blocks (POSIX, pax: ustar Interchange Format).
const endOfTar = Buffer.alloc(1024);

export interface FarBuildOptions {
  way: WayName;
  clusterName: string;
  stdin?: Buffer | Readable;
  signal: AbortSignal;
  onProgress: (detail: string) => void;
}

/**
 * Runs one of the build scripts and reads what it says. When it is interrupted or the connection breaks, the script
 * on the far side notices within a second, ends the build and removes its files. Throws CONVERSION_FAILED, SLURM_REFUSED,
 * SLURM_MISSING, REMOTE_DISK_FULL and what a connection throws.
 */
export async function runFarBuild(
  connection: Connection,
  script: string,
  { way, clusterName, stdin, signal, onProgress }: FarBuildOptions,
): Promise<ConvertedFile> {
  let rest = '';
  let lastLine = '';
  const result = await connection.stream(script, {
    ...(stdin === undefined ? {} : { stdin }),
    signal,
    onStdout: (chunk) => {
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const detail = parseProgress(line);
        if (detail !== undefined) onProgress(detail);
        else if (!line.startsWith('at ')) lastLine = line;
      }
    },
  });
  const [word, ...values] = lastLine.split(' ');
  const failure = { way, place: clusterName, output: result.stderr };
  switch (result.exitCode) {
    case 0: {
      const [sha256 = '', size] = values;
      if (word !== 'stored' || !/^[0-9a-f]{64}$/.test(sha256)) break;
      return { place: 'cluster', sha256, sizeBytes: Number(size), isNative: false };
    }
    case farStatus.incomplete:
      throw new HpcrunError('TRANSFER_FAILED', `${clusterName}: ${printable(result.stderr.trim())}`, {
        hint: 'Run the command again; what had arrived has been removed.',
      });
    case farStatus.refused:
      throw new HpcrunError('SLURM_REFUSED', `the conversion was refused: ${printable(result.stderr.trim())}`, {
        hint: 'It asks for the resources of the run, without GPUs: choose with --partition, --account, --time, --memory; or try --convert native.',
      });
    case farStatus.noSlurm:
      throw new HpcrunError('SLURM_MISSING', `there is no sbatch command on ${connection.description}`, {
        hint: 'Try --convert native or --convert remote.',
      });
    case farStatus.noApptainer:
      throw noApptainer(clusterName);
    case farStatus.buildFailed:
      throw conversionFailed({ ...failure, status: Number(values[0]) });
    case farStatus.jobDied:
      throw conversionFailed({ ...failure, status: result.exitCode, jobState: values.join(' ') });
    default:
      // Not the build but the script itself was ended.
      if (result.exitCode >= 128) throw conversionFailed({ ...failure, status: result.exitCode });
  }
  throw remoteFailure(connection, 'converting the image', result);
}

/** Sends the image's archive, as the engine saves it, to a build on the far side. Nothing is written to this machine's disk. */
export async function buildFromArchive(
  context: ConversionContext,
  way: WayName,
  render: (build: FarBuild) => string,
  info: ImageInfo,
  { signal, onProgress }: Pick<WayOptions, 'signal' | 'onProgress'>,
): Promise<ConvertedFile> {
  const connection = await context.connect();
  const script = render(await planFarBuild(context));
  const engine = await context.engine();
  const archive = await engine.saveArchive(info.id, { signal });
  try {
    const stdin = readArchive(archive, onProgress);
    return await runFarBuild(connection, script, { way, clusterName: context.cluster.name, stdin, signal, onProgress });
  } finally {
    await archive.dispose();
  }
}

/** What `at …` tells; undefined for lines that are not for people. */
function parseProgress(line: string): string | undefined {
  const match = /^at (?:INFO:\s+(.*)|(job \d+: .*))$/.exec(line);
  const said = match?.[1] ?? match?.[2];
  return said === undefined ? undefined : printable(said).replace(/(?<=: [A-Z_]+) None$/, '');
}

function noApptainer(clusterName: string): HpcrunError {
  return new HpcrunError('CONVERSION_FAILED', `neither apptainer nor singularity was found on ${clusterName}`, {
    hint: 'If it comes with a module, name it: modules: [apptainer] in the configuration of the cluster. Or try --convert native or --convert slurm.',
  });
}

function cutShort(bytes: number): HpcrunError {
  return new HpcrunError(
    'ENGINE_FAILED',
    `the engine ended the image's archive after ${formatBytes(bytes)}, before its end`,
    {
      hint: 'Run the command again.',
    },
  );
}

/** The archive's bytes, and behind a complete one the mark that says so. */
function readArchive(archive: EngineOutput, onProgress: (detail: string) => void): Readable {
  const read = async function* (): AsyncGenerator<Buffer> {
    let bytes = 0;
    let end: Buffer = Buffer.alloc(0);
    for await (const chunk of archive.stream as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      end = Buffer.concat([end, chunk.subarray(-endOfTar.length)]).subarray(-endOfTar.length);
      onProgress(`${formatBytes(bytes)} sent`);
      yield chunk;
    }
    await archive.completed;
    if (!end.equals(endOfTar)) throw cutShort(bytes);
    yield Buffer.from(archiveEnd);
  };
  return Readable.from(read(), { objectMode: false, highWaterMark: 1 << 20 });
}
