import { execa } from 'execa';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfInterrupted } from '../errors.js';
import { engineFailed } from '../image/engine-errors.js';
import type { EngineName } from '../image/engine.js';

const quietly = execa({ reject: false, stdin: 'ignore' });

/** Looks into an image's files by way of a container that is never started. */
export interface ImageFiles {
  /** A file's text; empty where there is none. */
  read(path: string): Promise<string>;
  hasDirectory(path: string): Promise<boolean>;
}

/** Lends the files of an image to `look`; `scratch` is a directory for what is copied out. Throws ENGINE_FAILED. */
export async function withImageFiles<T>(
  engine: EngineName,
  imageId: string,
  { scratch, signal }: { scratch: string; signal: AbortSignal },
  look: (files: ImageFiles) => Promise<T>,
): Promise<T> {
  // A working directory that the image lacks would be made.
  const created = await quietly(engine, ['create', '--network', 'none', '--workdir', '/', imageId, 'true']);
  if (created.exitCode !== 0) throw engineFailed(engine, created.stderr);
  const container = created.stdout.trim();
  try {
    throwIfInterrupted(signal);
    return await look({
      read: (path) => readFrom(engine, `${container}:${path}`, join(scratch, 'copied')),
      hasDirectory: (path) => isDirectory(engine, `${container}:${path}`),
    });
  } finally {
    await quietly(engine, ['rm', '--force', '--volumes', container]);
  }
}

// Podman follows links in a container without being told.
function copyArguments(engine: EngineName, source: string, target: string): string[] {
  return ['cp', ...(engine === 'docker' ? ['--follow-link'] : []), source, target];
}

async function readFrom(engine: EngineName, source: string, target: string): Promise<string> {
  const copied = await quietly(engine, copyArguments(engine, source, target));
  return copied.exitCode === 0 ? await readFile(target, 'utf8') : '';
}

/** The first entry of the directory's tar tells; the rest, which may be large, is not waited for. */
async function isDirectory(engine: EngineName, source: string): Promise<boolean> {
  const child = quietly(engine, copyArguments(engine, source, '-'), { buffer: false, encoding: 'buffer' });
  const typeFlagOffset = 156;
  let typeFlag: string | undefined;
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    typeFlag = chunk.toString('latin1', typeFlagOffset, typeFlagOffset + 1);
    break;
  }
  child.kill();
  await child;
  return typeFlag === '5';
}
