import { execa } from 'execa';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PassThrough, pipeline } from 'node:stream';
import { z } from 'zod';
import { HpcrunError, isSystemError, throwIfInterrupted } from '../errors.js';
import { findDockerSocket } from './docker-endpoint.js';
import { parseInspection } from './inspection.js';
import { askEngine, readFromEngine, type EngineBody } from './docker-socket.js';
import type {
  BuildRequest,
  ContainerEngine,
  EngineName,
  EngineOptions,
  ImageInfo,
  RootfsTar,
  EngineOutput,
} from './engine.js';
import { buildFailed, engineFailed, engineMissing, pullFailed } from './engine-errors.js';

const shownOutputLines = 40;

// Docker Engine API, SystemVersion.
const versionSchema = z.object({ Arch: z.string() });

// Marks the containers that exist to be exported: when one was made, in milliseconds since 1970, by which process and where.
const exportLabel = 'hpcrun.export';
const abandonedAfterMs = 24 * 60 * 60 * 1000;

/** Runs a program whose failure is looked at, not thrown, and which is never asked anything. */
const quietly = execa({ reject: false, stdin: 'ignore' });

/** How the command-line clients of the engines differ. */
interface Dialect {
  /** Go's name of the architecture builds are for, unless told otherwise. */
  architecture: string[];
  build: string[];
  /** Options of `run` for a read-only root with nothing mounted over it. */
  readOnly: string[];
}

const dialects: Record<EngineName, Dialect> = {
  docker: { architecture: ['version', '--format', '{{.Server.Arch}}'], build: [], readOnly: ['--read-only'] },
  // The OCI format has no place for SHELL and HEALTHCHECK.
  podman: {
    architecture: ['info', '--format', '{{.Host.Arch}}'],
    build: ['--format', 'docker'],
    readOnly: ['--read-only', '--read-only-tmpfs=false'],
  },
};

// Podman opens /dev/stdout by name, which fails for the sockets that Node hands to its children: cat makes it a pipe. The
// status is the first program's.
const throughPipe = 'exec 4>&1; status=$({ { "$@" 3>&- 4>&-; echo "$?" >&3; } | cat >&4; } 3>&1); exit "$status"';

/**
 * Docker or Podman through its command-line client, so that contexts, credentials and builders are the user's own. What Docker is asked often
 * is asked at its socket where that is known: a client takes longer to start than the engine to answer.
 */
export class CliEngine implements ContainerEngine {
  private foundArchitecture: string | undefined;
  private socket: Promise<string | undefined> | undefined;

  constructor(readonly name: EngineName) {}

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
      ...dialects[this.name].build,
      // Of a build that fails, the legacy builder would leave a container behind.
      ...['--force-rm', '--iidfile', idFile, '--tag', request.tag, '--file', request.dockerfile],
      ...(request.target === undefined ? [] : ['--target', request.target]),
      ...(request.platform === undefined ? [] : ['--platform', request.platform]),
      ...Object.entries(request.args).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
      request.context,
    ];
    const { exitCode, tail } = await this.watched(args, options);
    if (exitCode !== 0) throw buildFailed(this.name, request, tail);
    const id = (await readFile(idFile, 'utf8')).trim();
    return id.startsWith('sha256:') ? id : `sha256:${id}`;
  }

  async inspect(image: string, options: EngineOptions): Promise<ImageInfo | undefined> {
    // In a path, only these need no escape, and no name holds others.
    if (/^[\w.:/@-]+$/.test(image)) {
      const answer = await this.ask(`/images/${image}/json`, options);
      if (answer?.status === 200) return parseInspection(answer.text);
    }
    const result = await this.run(['image', 'inspect', '--format', '{{json .}}', image], options);
    if (result.exitCode !== 0) {
      if (/no such image|image not known/i.test(result.stderr)) return undefined;
      throw engineFailed(this.name, result.stderr);
    }
    return parseInspection(result.stdout);
  }

  async pull(image: string, platform: string | undefined, options: EngineOptions): Promise<void> {
    const args = ['pull', ...(platform === undefined ? [] : ['--platform', platform]), image];
    const { exitCode, tail } = await this.watched(args, options);
    if (exitCode !== 0) throw pullFailed(this.name, image, tail.join('\n'));
  }

  async architecture(options: EngineOptions): Promise<string> {
    if (this.foundArchitecture !== undefined) return this.foundArchitecture;
    const answer = await this.ask('/version', options);
    const told = answer?.status === 200 ? readVersion(answer.text) : undefined;
    if (told) return (this.foundArchitecture = told.Arch);
    const result = await this.run(dialects[this.name].architecture, { ...options, timeoutMs: 20_000 });
    if (result.exitCode !== 0) throw engineFailed(this.name, result.stderr);
    this.foundArchitecture = result.stdout.trim();
    return this.foundArchitecture;
  }

  async exportRootfs(info: ImageInfo, options: EngineOptions): Promise<RootfsTar> {
    await this.removeAbandoned(options);
    const made = `${exportLabel}=${Date.now()}:${process.pid}:${hostname()}`;
    // The command is never run; it is only there because an image without one cannot be created. A working directory
    // that the image lacks would be made, with the time of now.
    const created = await this.run(
      ['create', '--network', 'none', '--label', made, '--workdir', '/', ...this.platformOf(info), info.id, 'true'],
      { signal: new AbortController().signal },
    );
    const container = created.stdout.trim();
    const dispose = async () => {
      if (container === '') return;
      const removed = await quietly(this.name, ['rm', '--force', '--volumes', container]);
      if (removed.exitCode !== 0) throw engineFailed(this.name, removed.stderr);
    };
    try {
      throwIfInterrupted(options.signal);
      if (created.exitCode !== 0) throw engineFailed(this.name, created.stderr);
      const exported = await this.openExport(container, options);
      return { ...exported, dispose: async () => (await exported.dispose(), dispose()) };
    } catch (error) {
      await dispose();
      throw error;
    }
  }

  private async openExport(container: string, options: EngineOptions): Promise<RootfsTar> {
    const socketPath = await this.socketPath(options);
    if (socketPath === undefined) return this.exportThroughClient(container, options);
    let pieces: EngineBody;
    try {
      pieces = await readFromEngine(socketPath, `/containers/${container}/export`, options.signal);
    } catch (error) {
      // Some clients get there although the user does not, by sudo for one.
      const isClosed = ['EACCES', 'EPERM', 'ENOENT', 'ECONNREFUSED'].some((code) =>
        isSystemError(causeOf(error), code),
      );
      if (!isClosed) throw error;
      return this.exportThroughClient(container, options);
    }
    const dispose = () => {
      pieces.destroy();
      return Promise.resolve();
    };
    return { pieces, completed: Promise.resolve(), dispose };
  }

  private exportThroughClient(container: string, options: EngineOptions): RootfsTar {
    const { stream, ...output } = this.output(['export', container], options);
    return { ...output, pieces: stream };
  }

  async saveArchive(imageId: string, options: EngineOptions): Promise<EngineOutput> {
    const args = this.name === 'podman' ? ['save', '--format', 'docker-archive', imageId] : ['save', imageId];
    return await Promise.resolve(this.output(args, options));
  }

  async push(imageId: string, reference: string, options: EngineOptions & { insecure: boolean }): Promise<string> {
    const tagged = await this.run(['tag', imageId, reference], options);
    if (tagged.exitCode !== 0) throw engineFailed(this.name, tagged.stderr);
    try {
      return await this.pushTag(reference, options);
    } finally {
      await this.untag(reference);
    }
  }

  private async pushTag(reference: string, options: EngineOptions & { insecure: boolean }): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'hpcrun-push-'));
    const digestFile = join(directory, 'digest');
    const args =
      this.name === 'podman' ? ['--digestfile', digestFile, ...(options.insecure ? ['--tls-verify=false'] : [])] : [];
    try {
      const { exitCode, tail } = await this.watched(['push', ...args, reference], options);
      if (exitCode !== 0) throw engineFailed(this.name, tail.join('\n'));
      const said = this.name === 'podman' ? await readFile(digestFile, 'utf8') : tail.join('\n');
      const digest = /sha256:[0-9a-f]{64}/.exec(said)?.[0];
      if (digest === undefined)
        throw engineFailed(this.name, `pushing ${reference} gave no digest: ${tail.join('\n')}`);
      return digest;
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  /** Removes a name from an image that has others; removing its last one would remove the image. */
  private async untag(reference: string): Promise<void> {
    const { stdout } = await quietly(this.name, ['image', 'inspect', '--format', '{{len .RepoTags}}', reference]);
    if (Number(stdout) > 1) await quietly(this.name, ['image', 'rm', reference]);
  }

  /** What Docker says at its socket; undefined where it has to be asked through the client, which also explains what is wrong. */
  private async ask(path: string, { signal }: EngineOptions): Promise<{ status: number; text: string } | undefined> {
    if (this.name !== 'docker') return undefined;
    this.socket ??= findDockerSocket(process.env);
    const socket = await this.socket;
    if (socket === undefined) return undefined;
    try {
      return await askEngine(socket, path, signal);
    } catch (error) {
      throwIfInterrupted(signal);
      if (!(error instanceof HpcrunError)) throw error;
      this.socket = Promise.resolve(undefined);
      return undefined;
    }
  }

  /** The engine's Unix socket; undefined where it is reached in another way. */
  private async socketPath(options: EngineOptions): Promise<string | undefined> {
    if (this.name !== 'docker') return undefined;
    const result = await this.run(['context', 'inspect', '--format', '{{.Endpoints.docker.Host}}'], options);
    return /^unix:\/\/(\/.*)$/.exec(result.stdout.trim())?.[1];
  }

  /** The client's standard output as it comes. */
  private output(args: string[], options: EngineOptions & { input?: Buffer }): EngineOutput {
    const [program, ...words] =
      this.name === 'podman' ? ['sh', '-c', throughPipe, 'sh', 'podman', ...args] : [this.name, ...args];
    const child = execa(program, words, {
      reject: false,
      input: options.input ?? Buffer.alloc(0),
      buffer: { stdout: false, stderr: true },
      cancelSignal: options.signal,
    });
    // Node and execa read, and so drop, what nobody has asked for when the client ends: it goes into a stream that waits.
    const stream = new PassThrough({ highWaterMark: 1 << 20 });
    pipeline(child.stdout, stream, () => undefined);
    const completed = child.then((result) => {
      throwIfInterrupted(options.signal);
      if (result.exitCode !== 0) throw engineFailed(this.name, result.stderr);
    });
    completed.catch(() => undefined); // It is awaited later; until then a failure is not unhandled.
    const dispose = async () => {
      child.kill();
      stream.destroy();
      await Promise.resolve();
    };
    return { stream, completed, dispose };
  }

  runScript(info: ImageInfo, script: string, options: EngineOptions & { input?: Buffer }): EngineOutput {
    const name = `hpcrun-${randomBytes(8).toString('hex')}`;
    const args = [
      ...['run', '--rm', '--name', name, '--interactive', '--network', 'none', '--log-driver', 'none', '--user', '0'],
      // Where NVIDIA's runtime is the default one, it would mount the host's driver into the container.
      ...['--workdir', '/', '--env', 'NVIDIA_VISIBLE_DEVICES=void', '--entrypoint', '/bin/sh'],
      ...[...dialects[this.name].readOnly, ...this.platformOf(info), info.id, '-c', script],
    ];
    const output = this.output(args, options);
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    output.completed.then(over, over);
    return {
      ...output,
      dispose: async () => {
        // The first process of a container takes no notice of signals.
        if (!isOver) await quietly(this.name, ['rm', '--force', name]);
        await output.dispose();
      },
    };
  }

  /** With Docker's containerd store, an id may stand for images of several platforms, and the engine's own is taken. */
  private platformOf({ architecture }: ImageInfo): string[] {
    const isPlain = architecture === 'amd64' || architecture === 'arm64';
    return this.name === 'docker' && isPlain ? ['--platform', `linux/${architecture}`] : [];
  }

  /** Removes what conversions that were killed have left behind: of this machine at once, of others after a day. */
  private async removeAbandoned(options: EngineOptions): Promise<void> {
    const format = `{{.ID}} {{.Label "${exportLabel}"}}`;
    const listed = await this.run(['ps', '--all', '--filter', `label=${exportLabel}`, '--format', format], options);
    if (listed.exitCode !== 0) throw engineFailed(this.name, listed.stderr);
    const old = listed.stdout.split('\n').flatMap((line) => {
      const [id = '', made = ''] = line.split(' ');
      return id !== '' && isAbandoned(made) ? [id] : [];
    });
    if (old.length > 0) await quietly(this.name, ['rm', '--force', '--volumes', ...old]);
  }

  /** Runs the client; a failure is the caller's to look at, a missing client is not. */
  private async run(
    args: string[],
    { signal, timeoutMs = 120_000 }: { signal: AbortSignal; timeoutMs?: number },
  ): Promise<{ exitCode: number | undefined; stdout: string; stderr: string }> {
    const result = await quietly(this.name, args, {
      cancelSignal: signal,
      timeout: timeoutMs,
    });
    throwIfInterrupted(signal);
    if (result.code === 'ENOENT') throw engineMissing(this.name);
    if (result.timedOut)
      throw engineFailed(this.name, `no answer to "${args.slice(0, 2).join(' ')}" within ${timeoutMs / 1000} s`);
    return { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr };
  }

  /** Runs the client, hands on each line it prints and keeps the last of them. */
  private async watched(
    args: string[],
    options: EngineOptions,
  ): Promise<{ exitCode: number | undefined; tail: string[] }> {
    const tail: string[] = [];
    const child = quietly(this.name, args, {
      // Attestations carry times and would make every build a new image (ignored by the legacy builder).
      env: { BUILDX_NO_DEFAULT_ATTESTATIONS: '1' },
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
    if (result.code === 'ENOENT') throw engineMissing(this.name);
    return { exitCode: result.exitCode, tail };
  }
}

/** Undefined for an answer that is none, as of another program behind the socket. */
function readVersion(json: string): z.output<typeof versionSchema> | undefined {
  try {
    return versionSchema.safeParse(JSON.parse(json)).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isAbandoned(made: string): boolean {
  const [madeAt, pid, ...host] = made.split(':');
  if (host.join(':') === hostname() && !isRunning(Number(pid))) return true;
  return Date.now() - Number(madeAt) > abandonedAfterMs;
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    if (isSystemError(error, 'ESRCH')) return false;
    // It belongs to somebody else.
    if (isSystemError(error, 'EPERM')) return true;
    throw error;
  }
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
