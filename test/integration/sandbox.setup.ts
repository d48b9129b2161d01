import { execa } from 'execa';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { packageDirectory } from '../../src/package-directory.js';
import { binPath, pythonDockerfile, testSandboxName } from './lab.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Variables that keep the tests' own sandbox and files apart from the user's. */
    labEnvironment: Record<string, string>;
  }
}

/**
 * Builds what the test projects build, under names that stay, so that the next run finds the layers; the projects' own
 * names, one for each temporary directory, are removed after the tests.
 */
async function keepLayers(): Promise<void> {
  await execa('docker', ['build', '--tag', 'hpcrun-test/python', '-'], { input: pythonDockerfile });
  await execa('docker', ['build', '--tag', 'hpcrun-test/digits', join(packageDirectory(), 'examples', 'digits')]);
}

/** Podman is tested beside Docker, and shellcheck reads the job scripts. Where they cannot be installed, their tests say why they are skipped. */
async function installPrograms(): Promise<void> {
  const quiet = { reject: false, stdin: 'ignore' } as const;
  const missing: string[] = [];
  for (const name of ['podman', 'shellcheck']) {
    if ((await execa(name, ['--version'], quiet)).exitCode !== 0) missing.push(name);
  }
  if (missing.length === 0 || process.getuid?.() !== 0) return;
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await execa('apt-get', ['-q', 'update'], { ...quiet, env });
  for (const name of missing) {
    await execa('apt-get', ['-q', 'install', '-y', '--no-install-recommends', name], { ...quiet, env });
  }
}

async function removeProjectImages(): Promise<void> {
  const filters = ['project', 'example'].flatMap((kind) => [
    '--filter',
    `reference=hpcrun/${testSandboxName}-${kind}-*`,
  ]);
  const { stdout } = await execa('docker', ['images', '--format', '{{.Repository}}:{{.Tag}}', ...filters]);
  const tags = stdout.split('\n').filter((tag) => tag !== '');
  if (tags.length > 0) await execa('docker', ['image', 'rm', '--force', ...tags]);
}

/**
 * Brings up a sandbox for the tests alone; on Debian or Ubuntu as root it installs and starts what is missing. The images
 * stay behind, so that the next run starts in seconds.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'hpcrun-test-'));
  const labEnvironment = {
    XDG_CONFIG_HOME: join(directory, 'config'),
    XDG_STATE_HOME: join(directory, 'state'),
    XDG_CACHE_HOME: join(directory, 'cache'),
    HPCRUN_SANDBOX_NAME: testSandboxName,
  };
  const options = { env: labEnvironment, stdio: 'inherit' } as const;
  const takeDown = async () => {
    await execa('node', [binPath, 'sandbox', 'down', '--keep-images'], options);
    await removeProjectImages();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await execa('node', [binPath, 'sandbox', 'up', '--install-engine'], options);
    await keepLayers();
    await installPrograms();
  } catch (error) {
    // What went wrong first is what has to be seen.
    await Promise.allSettled([takeDown()]);
    throw error;
  }
  project.provide('labEnvironment', labEnvironment);
  return takeDown;
}
