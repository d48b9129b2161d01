import { execa } from 'execa';
import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HpcrunError, throwIfInterrupted } from '../../errors.js';
import type { ContainerEngine } from '../../image/engine.js';
import { requireMksquashfs } from '../../image/squash.js';
import { formatBytes } from '../../progress.js';
import { problemOf, type Finding } from './finding.js';

export interface Machine {
  engine: () => Promise<ContainerEngine>;
  /** Where converted images go. */
  cacheDirectory: string;
  signal: AbortSignal;
}

/** What `submit` needs of this machine: an engine, mksquashfs, room for images, and ssh's configuration. */
export async function examineMachine(machine: Machine): Promise<Finding[]> {
  const engine = await examineEngine(machine);
  const [squash, disk, ssh] = await Promise.all([
    examineMksquashfs(machine.signal, engine.verdict === 'ok'),
    examineDisk(machine.cacheDirectory),
    examineSsh(machine.signal),
  ]);
  return [engine, squash, disk, ssh];
}

async function examineEngine({ engine, signal }: Machine): Promise<Finding> {
  const about = { section: 'machine', name: 'engine' } as const;
  try {
    const found = await engine();
    const architecture = await found.architecture({ signal });
    const title = found.name === 'docker' ? 'Docker' : 'Podman';
    return { ...about, verdict: 'ok', message: `${title} answers and builds for linux/${architecture}` };
  } catch (error) {
    return problemOf(about.section, about.name, error);
  }
}

async function examineMksquashfs(signal: AbortSignal, hasEngine: boolean): Promise<Finding> {
  const about = { section: 'machine', name: 'mksquashfs' } as const;
  try {
    await requireMksquashfs(signal);
    return { ...about, verdict: 'ok', message: 'mksquashfs reads tars' };
  } catch (error) {
    if (!hasEngine || !(error instanceof HpcrunError) || error.code !== 'MKSQUASHFS_MISSING')
      return problemOf(about.section, about.name, error);
    const message = `${error.message}; it runs in a small container instead, which takes a little longer`;
    return { ...about, verdict: 'note', message, remedy: error.hint };
  }
}

const littleBytes = 10e9;
const tooLittleBytes = 1e9;

async function examineDisk(directory: string): Promise<Finding> {
  let existing = directory;
  while (!existsSync(existing)) existing = dirname(existing);
  const { bavail, bsize } = await statfs(existing);
  return judgeDisk(directory, bavail * bsize);
}

/** Exported for tests. */
export function judgeDisk(directory: string, freeBytes: number): Finding {
  const about = {
    section: 'machine',
    name: 'disk',
    message: `${formatBytes(freeBytes)} are free for ${directory}`,
  } as const;
  const remedy =
    'Make room ("hpcrun prune --local", "docker system df"), or set XDG_CACHE_HOME to a directory on another disk.';
  if (freeBytes < tooLittleBytes) return { ...about, verdict: 'problem', remedy, code: 'CONVERSION_FAILED' };
  if (freeBytes < littleBytes) return { ...about, verdict: 'warning', remedy };
  return { ...about, verdict: 'ok' };
}

async function examineSsh(signal: AbortSignal): Promise<Finding> {
  const about = { section: 'machine', name: 'ssh' } as const;
  const result = await execa('ssh', ['-V'], { reject: false, stdin: 'ignore', cancelSignal: signal, timeout: 10_000 });
  throwIfInterrupted(signal);
  const version = /OpenSSH_[\w.]+/.exec(result.stderr)?.[0]?.replace('_', ' ');
  if (!result.failed) return { ...about, verdict: 'ok', message: `${version ?? 'ssh'} reads ~/.ssh/config` };
  return {
    ...about,
    verdict: 'warning',
    message: 'there is no ssh program, so that ~/.ssh/config is not read',
    remedy: 'Install OpenSSH\'s client: "apt-get install openssh-client", "dnf install openssh-clients".',
  };
}
