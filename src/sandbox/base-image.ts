import { execa } from 'execa';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HpcrunError, throwIfInterrupted } from '../errors.js';
import { withStep, type Progress } from '../progress.js';
import { docker, tryDocker } from './docker.js';

export const baseImage = 'debian:trixie-slim';
/** Marks a base image made here, so that `down` knows it from one that was pulled. */
export const madeHereLabel = 'hpcrun.sandbox.base';

const pullTimeoutMs = 180_000;

/**
 * Makes sure that the base image of the sandbox and of the examples is there: pulled, or where no registry can be
 * reached, made from Debian's packages with debootstrap. Throws SANDBOX_FAILED.
 */
export async function ensureBaseImage(progress: Progress, signal: AbortSignal): Promise<void> {
  if ((await tryDocker(['image', 'inspect', baseImage], signal)) !== undefined) return;
  await withStep(
    progress,
    `Fetching ${baseImage}`,
    async (step) => {
      const pulled = await execa('docker', ['pull', '--quiet', baseImage], {
        reject: false,
        stdin: 'ignore',
        timeout: pullTimeoutMs,
        cancelSignal: signal,
      });
      throwIfInterrupted(signal);
      if (pulled.exitCode === 0) return false;
      step.update('no registry can be reached; making it with debootstrap');
      await bootstrap(pulled.stderr.trim(), signal);
      return true;
    },
    (madeHere) =>
      madeHere ? `Made ${baseImage} with debootstrap, since no registry can be reached` : `Pulled ${baseImage}`,
  );
}

async function bootstrap(pullError: string, signal: AbortSignal): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new HpcrunError('SANDBOX_FAILED', `${baseImage} cannot be pulled: ${pullError}`, {
      hint: "Without a registry it can be made from Debian's packages, as root with debootstrap installed.",
    });
  }
  const directory = await mkdtemp(join(tmpdir(), 'hpcrun-debootstrap-'));
  try {
    const made = await execa('debootstrap', ['--variant=minbase', '--include=ca-certificates', 'trixie', directory], {
      reject: false,
      all: true,
      stdin: 'ignore',
      cancelSignal: signal,
      env: { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` },
    });
    throwIfInterrupted(signal);
    if (made.code === 'ENOENT') {
      throw new HpcrunError(
        'SANDBOX_FAILED',
        `${baseImage} cannot be pulled (${pullError}), and debootstrap is not installed`,
        {
          hint: 'apt-get install debootstrap, or: hpcrun sandbox up --install-engine',
        },
      );
    }
    if (made.exitCode !== 0) {
      throw new HpcrunError('SANDBOX_FAILED', `debootstrap failed:\n${made.all.split('\n').slice(-10).join('\n')}`, {
        hint: "Are Debian's packages reachable from here?",
      });
    }
    const leftOut = ['./var/cache/apt/archives/*.deb', './var/lib/apt/lists/*'].map(
      (pattern) => `--exclude=${pattern}`,
    );
    const tar = execa('tar', ['-C', directory, ...leftOut, '-c', '.'], {
      buffer: { stdout: false },
      stdin: 'ignore',
      cancelSignal: signal,
    });
    const change = ['--change', `LABEL ${madeHereLabel}=1`, '--change', 'CMD ["bash"]'];
    await tar.pipe('docker', ['import', ...change, '-', baseImage], { cancelSignal: signal });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Removes the base image if it was made here. */
export async function removeBaseImage(signal: AbortSignal): Promise<void> {
  const format = `{{index .Config.Labels "${madeHereLabel}"}}`;
  if ((await tryDocker(['image', 'inspect', '--format', format, baseImage], signal)) === '1') {
    await docker(['image', 'rm', baseImage], signal);
  }
}
