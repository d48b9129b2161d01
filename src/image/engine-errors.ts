import { HpcrunError } from '../errors.js';
import type { BuildRequest, EngineName } from './engine.js';

const titles: Record<EngineName, string> = { docker: 'Docker', podman: 'Podman' };

const unreachable = /cannot connect|is the docker daemon running|error during connect/i;

export function engineMissing(name: EngineName): HpcrunError {
  return new HpcrunError('ENGINE_MISSING', `the ${name} program was not found`, {
    hint:
      name === 'docker'
        ? 'Install Docker: on Debian or Ubuntu "apt-get install docker.io", elsewhere Docker Desktop. Or use Podman: --engine podman.'
        : 'Install Podman ("apt-get install podman", "dnf install podman"), or use Docker: --engine docker.',
  });
}

export function engineFailed(name: EngineName, stderr: string): HpcrunError {
  const said = stderr.trim();
  if (unreachable.test(said)) {
    return new HpcrunError('ENGINE_FAILED', `the ${titles[name]} engine is not running or not reachable`, {
      hint:
        name === 'docker'
          ? 'Start Docker Desktop, or "sudo systemctl start docker"; check with "docker version". Or use Podman: --engine podman.'
          : 'Start it: "podman machine start"; check with "podman info".',
      cause: said,
    });
  }
  if (/permission denied/i.test(said)) {
    return new HpcrunError('ENGINE_FAILED', `${titles[name]} refused: ${said}`, {
      hint:
        name === 'docker'
          ? 'Add yourself to the docker group ("sudo usermod -aG docker $USER") and log in again.'
          : 'Check with "podman info".',
    });
  }
  return new HpcrunError('ENGINE_FAILED', `${titles[name]} failed: ${said || 'without a message'}`, {
    hint: `Check with "${name} info".`,
  });
}

export function buildFailed(name: EngineName, request: BuildRequest, tail: string[]): HpcrunError {
  // The first lines are Docker's advertisement for its newer builder.
  const output = tail.join('\n').replace(/^DEPRECATED: The legacy builder[\s\S]*?\n\n/, '');
  if (unreachable.test(output)) return engineFailed(name, output);
  const noRegistry = /(no such host|i\/o timeout|failed to resolve|connection refused).*|pull access denied/i.test(
    output,
  );
  return new HpcrunError('BUILD_FAILED', `${name} build of ${request.dockerfile} failed:\n${output}`, {
    hint: noRegistry
      ? `The base image could not be fetched: check its name, your network and "${name} login".`
      : `Try it alone: ${name} build -f ${request.dockerfile} ${request.context}`,
  });
}

export function pullFailed(name: EngineName, image: string, output: string): HpcrunError {
  if (unreachable.test(output)) return engineFailed(name, output);
  return new HpcrunError(
    'IMAGE_NOT_FOUND',
    `${name} does not have the image ${image} and cannot fetch it:\n${output}`,
    {
      hint: `Check its name with "${name} images", or log in to its registry with "${name} login".`,
    },
  );
}
