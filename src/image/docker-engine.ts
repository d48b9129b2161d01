import { execa } from 'execa';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { HpcrunError, throwIfInterrupted } from '../errors.js';
import type { BuildRequest, ContainerEngine, EngineOptions, ImageInfo, RootfsExport } from './engine.js';

const shownOutputLines = 40;

// Marks the containers that exist to be exported; its value is when one was made, in milliseconds since 1970.
const exportLabel = 'hpcrun.export';
const abandonedAfterMs = 24 * 60 * 60 * 1000;

/** Runs a program whose failure is looked at, not thrown, and which is never asked anything. */
const quietly = execa({ reject: false, stdin: 'ignore' });

// Only what is used; the engine API's own names (Docker Engine API, ImageInspect).
const inspectSchema = z.object({
  Id: z.string(),
  Os: z.string(),
  Architecture: z.string(),
  Config: z
    .object({
      Entrypoint: z.array(z.string()).nullish(),
      Cmd: z.array(z.string()).nullish(),
      Env: z.array(z.string()).nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
    })
    .nullish(),
});

/** Docker through its command-line client, so that contexts, credentials and builders are the user's own. */
export class DockerEngine implements ContainerEngine {
  async build(request: BuildRequest, options: EngineOptions): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'hpcrun-build-'));
    try {
      return await this.buildWith(request, join(directory, 'id'), options);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  /** The id comes through a file: the tag may by now be that of another build of the same project. */
  private async buildWith(request: BuildRequest, idFile: string, options: EngineOptions): Promise<string> {
    const args = [
      'build',
      // Of a build that fails, the legacy builder would leave a container behind.
      '--force-rm',
      '--iidfile',
      idFile,
      '--tag',
      request.tag,
      '--file',
      request.dockerfile,
      ...(request.target === undefined ? [] : ['--target', request.target]),
      ...Object.entries(request.args).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
      request.context,
    ];
    const tail: string[] = [];
    // Attestations carry times and would make every build a new image (ignored by the legacy builder).
    const env = { BUILDX_NO_DEFAULT_ATTESTATIONS: '1' };
    const child = quietly('docker', args, {
      env,
      all: true,
      buffer: false,
      cancelSignal: options.signal,
    });
    for await (const line of createInterface({ input: child.all })) {
      tail.push(line);
      if (tail.length > shownOutputLines) tail.shift();
      options.onOutput?.(line);
    }
    const result = await child;
    throwIfInterrupted(options.signal);
    if (result.code === 'ENOENT') throw engineMissing();
    if (result.exitCode !== 0) throw buildFailed(request, tail);
    return (await readFile(idFile, 'utf8')).trim();
  }

  async inspect(image: string, options: EngineOptions): Promise<ImageInfo | undefined> {
    const result = await quietly('docker', ['image', 'inspect', '--format', '{{json .}}', image], {
      cancelSignal: options.signal,
    });
    throwIfInterrupted(options.signal);
    if (result.code === 'ENOENT') throw engineMissing();
    const stderr = result.stderr;
    if (result.exitCode !== 0) {
      if (/no such image/i.test(stderr)) return undefined;
      throw engineFailed(stderr);
    }
    const { Id, Os, Architecture, Config } = inspectSchema.parse(JSON.parse(result.stdout));
    return {
      id: Id,
      os: Os,
      architecture: Architecture,
      entrypoint: Config?.Entrypoint ?? [],
      command: Config?.Cmd ?? [],
      environment: Config?.Env ?? [],
      labels: Config?.Labels ?? {},
    };
  }

  async exportRootfs(imageId: string, options: EngineOptions): Promise<RootfsExport> {
    await removeAbandoned(options.signal);
    // The command is never run; it is only there because an image without one cannot be created.
    const created = await quietly(
      'docker',
      ['create', '--network', 'none', '--label', `${exportLabel}=${Date.now()}`, imageId, 'true'],
      {
        cancelSignal: options.signal,
      },
    );
    const container = created.stdout.trim();
    const dispose = async () => {
      if (container === '') return;
      const removed = await quietly('docker', ['rm', '--force', '--volumes', container]);
      if (removed.exitCode !== 0) throw engineFailed(removed.stderr);
    };
    if (options.signal.aborted) await dispose();
    throwIfInterrupted(options.signal);
    if (created.exitCode !== 0) throw engineFailed(created.stderr);
    const child = quietly('docker', ['export', container], {
      buffer: { stdout: false, stderr: true },
      cancelSignal: options.signal,
    });
    const completed = child.then((result) => {
      throwIfInterrupted(options.signal);
      if (result.exitCode !== 0) throw engineFailed(result.stderr);
    });
    completed.catch(() => undefined); // It is awaited later; until then a failure is not unhandled.
    return {
      stream: child.stdout,
      completed,
      dispose: async () => {
        child.kill();
        await dispose();
      },
    };
  }
}

/** Removes what a conversion that was killed a day ago or longer has left behind. */
async function removeAbandoned(signal: AbortSignal): Promise<void> {
  const format = `{{.ID}} {{.Label "${exportLabel}"}}`;
  const args = ['ps', '--all', '--filter', `label=${exportLabel}`, '--format', format];
  const listed = await quietly('docker', args, { cancelSignal: signal });
  throwIfInterrupted(signal);
  if (listed.exitCode !== 0) throw engineFailed(listed.stderr);
  const old = listed.stdout.split('\n').flatMap((line) => {
    const [id = '', madeAt] = line.split(' ');
    return id !== '' && Date.now() - Number(madeAt) > abandonedAfterMs ? [id] : [];
  });
  if (old.length > 0) await quietly('docker', ['rm', '--force', '--volumes', ...old]);
}

/** Whether the engine answers. Throws ENGINE_MISSING or ENGINE_FAILED with what to do. */
export async function requireDocker(signal: AbortSignal): Promise<void> {
  const result = await quietly('docker', ['version', '--format', '{{.Server.Version}}'], {
    cancelSignal: signal,
    timeout: 20_000,
  });
  throwIfInterrupted(signal);
  if (result.code === 'ENOENT') throw engineMissing();
  if (result.exitCode !== 0) throw engineFailed(result.stderr);
}

function engineMissing(): HpcrunError {
  return new HpcrunError('ENGINE_MISSING', 'the docker program was not found', {
    hint: 'Install Docker: on Debian or Ubuntu "apt-get install docker.io", elsewhere Docker Desktop.',
  });
}

function engineFailed(stderr: string): HpcrunError {
  const said = stderr.trim();
  if (/cannot connect|is the docker daemon running|error during connect/i.test(said)) {
    return new HpcrunError('ENGINE_FAILED', 'the Docker engine is not running or not reachable', {
      hint: 'Start Docker Desktop, or "sudo systemctl start docker"; check with "docker version".',
      cause: said,
    });
  }
  if (/permission denied/i.test(said)) {
    return new HpcrunError('ENGINE_FAILED', `Docker refused: ${said}`, {
      hint: 'Add yourself to the docker group ("sudo usermod -aG docker $USER") and log in again.',
    });
  }
  return new HpcrunError('ENGINE_FAILED', `Docker failed: ${said || 'without a message'}`, {
    hint: 'Check with "docker info".',
  });
}

function buildFailed(request: BuildRequest, tail: string[]): HpcrunError {
  // The first lines are Docker's advertisement for its newer builder.
  const output = tail.join('\n').replace(/^DEPRECATED: The legacy builder[\s\S]*?\n\n/, '');
  if (/cannot connect to the docker daemon|is the docker daemon running/i.test(output)) return engineFailed(output);
  const noRegistry = /(no such host|i\/o timeout|failed to resolve|connection refused).*|pull access denied/i.test(
    output,
  );
  return new HpcrunError('BUILD_FAILED', `docker build of ${request.dockerfile} failed:\n${output}`, {
    hint: noRegistry
      ? 'The base image could not be fetched: check its name, your network and "docker login".'
      : `Try it alone: docker build -f ${request.dockerfile} ${request.context}`,
  });
}
