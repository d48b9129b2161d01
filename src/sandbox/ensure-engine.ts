import { execa } from 'execa';
import { open, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { HpcrunError, isSystemError, throwIfInterrupted } from '../errors.js';
import { resolveEngine } from '../image/resolve-engine.js';
import { withStep, type Progress } from '../progress.js';

const daemonLog = '/var/log/hpcrun-dockerd.log';

/**
 * Makes sure that a Docker engine answers. With `mayInstall`, on Debian or Ubuntu as root, what is missing is installed
 * (docker.io, debootstrap, squashfs-tools) and dockerd started, and both are said. Otherwise throws ENGINE_MISSING or
 * ENGINE_FAILED with what to do.
 */
export async function ensureEngine(mayInstall: boolean, progress: Progress, signal: AbortSignal): Promise<void> {
  if (mayInstall) await installMissing(progress, signal);
  try {
    await resolveEngine('docker', signal);
  } catch (error) {
    if (!(error instanceof HpcrunError) || error.code === 'INTERRUPTED') throw error;
    if (!mayInstall || !(await isDebianRoot())) throw withInstallHint(error);
    await startDaemon(progress, signal);
  }
}

function withInstallHint(error: HpcrunError): HpcrunError {
  return new HpcrunError(error.code, error.message, {
    hint: `${error.hint ?? ''} On Debian or Ubuntu as root, "hpcrun sandbox up --install-engine" does it for you.`.trim(),
    cause: error,
  });
}

async function isDebianRoot(): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  try {
    const release = await readFile('/etc/os-release', 'utf8');
    return /^ID(?:_LIKE)?=.*\b(?:debian|ubuntu)\b/m.test(release);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false;
    throw error;
  }
}

async function installMissing(progress: Progress, signal: AbortSignal): Promise<void> {
  const wanted = [
    { program: 'dockerd', packageName: 'docker.io' },
    { program: 'debootstrap', packageName: 'debootstrap' },
    { program: 'mksquashfs', packageName: 'squashfs-tools' },
  ];
  const missing: string[] = [];
  for (const { program, packageName } of wanted) {
    // Docker Desktop and remote engines have a client only: an engine that answers needs no dockerd.
    if (program === 'dockerd' && (await answers(signal))) continue;
    const found = await execa('sh', ['-c', 'command -v "$1"', 'sh', program], { reject: false, env: withSbin() });
    if (found.exitCode !== 0) missing.push(packageName);
  }
  if (missing.length === 0 || !(await isDebianRoot())) return;
  const list = missing.join(', ');
  await withStep(
    progress,
    `Installing ${list} with apt-get`,
    async (step) => {
      const env = { DEBIAN_FRONTEND: 'noninteractive' };
      for (const args of [['update'], ['install', '-y', '--no-install-recommends', ...missing]]) {
        const result = await execa('apt-get', ['-q', ...args], {
          reject: false,
          all: true,
          stdin: 'ignore',
          env,
          cancelSignal: signal,
        });
        throwIfInterrupted(signal);
        step.update(args[0] ?? '');
        if (result.exitCode === 0) continue;
        throw new HpcrunError(
          'ENGINE_MISSING',
          `apt-get ${args[0] ?? ''} failed:\n${result.all.split('\n').slice(-15).join('\n')}`,
          {
            hint: `Install them yourself, then run the command again: ${list}`,
          },
        );
      }
    },
    () => `Installed ${list}`,
  );
}

async function answers(signal: AbortSignal): Promise<boolean> {
  try {
    await resolveEngine('docker', signal);
    return true;
  } catch (error) {
    if (error instanceof HpcrunError && error.code !== 'INTERRUPTED') return false;
    throw error;
  }
}

// Debian keeps dockerd and debootstrap in sbin, which is not on everybody's PATH.
function withSbin(): NodeJS.ProcessEnv {
  return { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
}

async function startDaemon(progress: Progress, signal: AbortSignal): Promise<void> {
  await withStep(
    progress,
    'Starting the Docker engine',
    async () => {
      const viaService = await execa('systemctl', ['start', 'docker'], { reject: false, stdin: 'ignore' });
      if (viaService.exitCode !== 0) {
        const log = await open(daemonLog, 'a');
        const child = execa('dockerd', [], {
          detached: true,
          cleanup: false,
          reject: false,
          stdin: 'ignore',
          stdout: log.fd as never,
          stderr: log.fd as never,
          buffer: false,
          env: withSbin(),
        });
        child.unref();
        await log.close();
      }
      for (let attempt = 0; attempt < 60; attempt += 1) {
        if (await answers(signal)) return;
        await sleep(500, undefined, { signal });
      }
      throw new HpcrunError('ENGINE_FAILED', 'dockerd did not come up within 30 s', {
        hint: `It says why in ${daemonLog}.`,
      });
    },
    () => 'Started the Docker engine',
  );
}
