import { execa } from 'execa';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { extract as createExtract } from 'tar-stream';
import { throwIfInterrupted } from '../errors.js';
import { engineFailed } from '../image/engine-errors.js';
import type { EngineName, ImageInfo } from '../image/engine.js';
import { quoteMountField } from './local-container.js';

const quietly = execa({ reject: false, stdin: 'ignore' });

// In the words of Docker's and Podman's releases; a container that is gone is something else.
const nothingThere = /no such (?:container:path|file or directory)|could not (?:be found|find)|not a directory/i;

/** Looks into an image's files by way of a container that is never started. Its functions throw ENGINE_FAILED. */
export interface ImageFiles {
  /** A file's text; empty where there is none. */
  read(path: string): Promise<string>;
  hasDirectory(path: string): Promise<boolean>;
  /** Whether a directory is empty or missing. What is a link may hold something. */
  isEmpty(path: string): Promise<boolean>;
}

/** Lends the files of an image to `look`; `scratch` is a directory for what is copied out. Throws ENGINE_FAILED. */
export async function withImageFiles<T>(
  engine: EngineName,
  image: Pick<ImageInfo, 'id' | 'volumes'>,
  { scratch, signal }: { scratch: string; signal: AbortSignal },
  look: (files: ImageFiles) => Promise<T>,
): Promise<T> {
  const created = await quietly(engine, ['create', ...createArguments(engine, image)]);
  if (created.exitCode !== 0) throw engineFailed(engine, created.stderr);
  const container = created.stdout.trim();
  const copy = (path: string, target: string, followsLink: boolean) => [
    'cp',
    // Podman follows links in a container without being told.
    ...(engine === 'docker' && followsLink ? ['--follow-link'] : []),
    `${container}:${path}`,
    target,
  ];
  const list = (path: string, followsLink: boolean) => firstEntries(engine, copy(path, '-', followsLink), signal);
  try {
    throwIfInterrupted(signal);
    return await look({
      read: async (path) => {
        const target = join(scratch, 'copied');
        const copied = await quietly(engine, copy(path, target, true), { cancelSignal: signal });
        throwIfInterrupted(signal);
        if (copied.exitCode === 0) return await readFile(target, 'utf8');
        if (nothingThere.test(copied.stderr)) return '';
        throw engineFailed(engine, copied.stderr);
      },
      hasDirectory: async (path) => (await list(path, true))[0] === 'directory',
      isEmpty: async (path) => {
        const [type, ...inside] = await list(path, false);
        return type === undefined || (type === 'directory' && inside.length === 0);
      },
    });
  } finally {
    await quietly(engine, ['rm', '--force', '--volumes', container]);
  }
}

/** The label is that of conversions' containers, so that one that a kill leaves behind goes with those. */
function createArguments(engine: EngineName, { id, volumes }: Pick<ImageInfo, 'id' | 'volumes'>): string[] {
  return [
    ...['--network', 'none', '--label', `hpcrun.export=${Date.now()}:${process.pid}:${hostname()}`],
    // A volume would hide what the image has there, and be filled first.
    ...(engine === 'podman'
      ? ['--image-volume', 'ignore']
      : volumes.flatMap((path) => ['--mount', `type=tmpfs,${quoteMountField(`target=${path}`)}`])),
    // A working directory that the image lacks would be made.
    ...['--workdir', '/', id, 'true'],
  ];
}

/**
 * The types of the first two entries of the tar that the client writes, which tell enough of a directory; the rest may be
 * large. None where nothing is there.
 */
async function firstEntries(engine: EngineName, args: string[], signal: AbortSignal): Promise<string[]> {
  const child = quietly(engine, args, { buffer: { stdout: false }, encoding: 'buffer', cancelSignal: signal });
  const types: string[] = [];
  const extract = createExtract();
  const reading = (async () => {
    for await (const entry of extract) {
      types.push(entry.header.type);
      if (types.length === 2 || entry.header.type !== 'directory') return true;
      entry.resume();
    }
    return false;
  })();
  // The streamx stream of tar-stream is not one of Node's own.
  // A tar that is cut off is the client's failure, of which it says more on standard error.
  await pipeline(child.stdout, extract as unknown as NodeJS.WritableStream).catch(() => undefined);
  const isEnough = await reading.catch(() => false);
  if (isEnough) child.kill();
  const { exitCode, stderr } = await child;
  throwIfInterrupted(signal);
  if (isEnough || exitCode === 0) return types;
  const said = Buffer.from(stderr).toString('utf8');
  if (nothingThere.test(said)) return [];
  throw engineFailed(engine, said);
}
