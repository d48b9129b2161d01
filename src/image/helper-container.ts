import { execa } from 'execa';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { ContainerEngine, EngineOptions } from './engine.js';

const dockerfile = `ARG BASE_IMAGE=debian:trixie-slim
FROM \${BASE_IMAGE}
LABEL hpcrun.helper=mksquashfs
RUN apt-get update && apt-get install -y --no-install-recommends squashfs-tools && rm -rf /var/lib/apt/lists/*
`;

/** The helper's name: another recipe is another image. */
export const helperImage = `hpcrun/mksquashfs:${createHash('sha256').update(dockerfile).digest('hex').slice(0, 12)}`;

/**
 * Makes sure that the engine has the image in which mksquashfs runs where this machine has none: Debian's
 * squashfs-tools, built once. Returns its name. Throws BUILD_FAILED or ENGINE_FAILED.
 */
export async function ensureHelperImage(engine: ContainerEngine, options: EngineOptions): Promise<string> {
  if (await engine.inspect(helperImage, options)) return helperImage;
  const context = await mkdtemp(join(tmpdir(), 'hpcrun-helper-'));
  try {
    const path = join(context, 'Dockerfile');
    await writeFile(path, dockerfile);
    await engine.build({ dockerfile: path, context, args: {}, tag: helperImage }, options);
    return helperImage;
  } finally {
    await rm(context, { recursive: true, force: true });
  }
}

export interface HelperSpawn {
  /** A file on this machine; its directory is mounted into the container. */
  outputPath: string;
  /** What follows `mksquashfs - FILE`. */
  args: string[];
  signal: AbortSignal;
}

/**
 * Starts `mksquashfs - FILE ARGS…` in a container without network, which reads the tar from its standard input as the
 * program itself would, and writes as the user that hpcrun runs as. Needs an engine that sees this machine's files. Ending the
 * child ends the container.
 */
export async function spawnMksquashfs(engine: ContainerEngine, image: string, spawn: HelperSpawn) {
  const user = await renderUser(engine);
  const { outputPath, args, signal } = spawn;
  return {
    child: execa(
      engine.name,
      [
        ...['run', '--rm', '--interactive', '--init', '--network', 'none', ...user],
        // Where SELinux is on, a container may not write to a directory of the user's otherwise.
        ...['--security-opt', 'label=disable', '--volume', `${dirname(outputPath)}:/out`],
        ...[image, 'mksquashfs', '-', `/out/${basename(outputPath)}`, ...args],
      ],
      {
        reject: false,
        cancelSignal: signal,
        buffer: { stdout: false },
        env: { SOURCE_DATE_EPOCH: undefined },
        stdin: 'pipe',
      },
    ),
  };
}

/** Options that make files in a mounted directory the caller's own. An engine without root maps its root to the caller. */
async function renderUser(engine: ContainerEngine): Promise<string[]> {
  const [uid, gid] = [process.getuid?.(), process.getgid?.()];
  if (uid === undefined || gid === undefined || uid === 0) return [];
  if (engine.name === 'podman') return ['--userns', 'keep-id'];
  const { stdout } = await execa('docker', ['info', '--format', '{{.SecurityOptions}}'], { reject: false });
  return stdout.includes('name=rootless') ? [] : ['--user', `${uid}:${gid}`];
}
