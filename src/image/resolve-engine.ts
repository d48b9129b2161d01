import { execa } from 'execa';
import { HpcrunError, throwIfInterrupted } from '../errors.js';
import { CliEngine } from './cli-engine.js';
import { lookAtDockerProgram } from './docker-endpoint.js';
import type { ContainerEngine, EngineName } from './engine.js';

/**
 * The engine to use: the one asked for, otherwise Docker where its client is installed, otherwise Podman.
 * Throws ENGINE_MISSING or ENGINE_FAILED with what to do.
 */
export async function resolveEngine(wanted: EngineName | undefined, signal: AbortSignal): Promise<ContainerEngine> {
  if (wanted === 'podman') return await answering('podman', signal);
  // Asked for at the same time: a client takes longer to start than to answer.
  const docker = answering('docker', signal);
  // It is awaited below, or not at all where Podman answers to the name.
  docker.catch(() => undefined);
  if (await isPodmanInDisguise(signal)) return await answering('podman', signal);
  if (wanted !== undefined) return await docker;
  try {
    return await docker;
  } catch (error) {
    // Where Docker is installed and does not run, images are to be looked for there and nowhere else.
    if (!(error instanceof HpcrunError) || error.code !== 'ENGINE_MISSING') throw error;
    try {
      return await answering('podman', signal);
    } catch (second) {
      if (second instanceof HpcrunError && second.code === 'ENGINE_MISSING') throw error;
      throw second;
    }
  }
}

/** Whether the `docker` command is Podman's, as the package podman-docker makes it. */
async function isPodmanInDisguise(signal: AbortSignal): Promise<boolean> {
  if ((await lookAtDockerProgram(process.env)) === 'client') return false;
  const { stdout } = await execa('docker', ['--version'], {
    reject: false,
    stdin: 'ignore',
    cancelSignal: signal,
    timeout: 20_000,
  });
  throwIfInterrupted(signal);
  return /^podman/i.test(stdout);
}

async function answering(name: EngineName, signal: AbortSignal): Promise<ContainerEngine> {
  const engine = new CliEngine(name);
  await engine.architecture({ signal });
  return engine;
}
