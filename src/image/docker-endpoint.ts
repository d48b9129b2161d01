import { open, readFile, realpath } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import { z } from 'zod';
import { isMissing } from '../errors.js';

const configSchema = z.object({ currentContext: z.string().optional() });

/**
 * The Unix socket that Docker's client would use, where that can be told without it; undefined for another context, another
 * transport, or a configuration that only the client understands (Docker CLI reference, "Environment variables" and "docker context").
 */
export async function findDockerSocket(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  // Without it, nothing can be built.
  if ((await lookAtDockerProgram(env)) !== 'client') return undefined;
  if (env.DOCKER_HOST) return /^unix:\/\/(\/.*)$/.exec(env.DOCKER_HOST)?.[1];
  if (env.DOCKER_CONTEXT) return env.DOCKER_CONTEXT === 'default' ? defaultSocket : undefined;
  const path = join(env.DOCKER_CONFIG ?? join(env.HOME ?? homedir(), '.docker'), 'config.json');
  try {
    const { currentContext = '' } = configSchema.parse(JSON.parse(await readFile(path, 'utf8')));
    return currentContext === '' || currentContext === 'default' ? defaultSocket : undefined;
  } catch (error) {
    // Of a file that it cannot read, the client says what is wrong.
    return isMissing(error) ? defaultSocket : undefined;
  }
}

const defaultSocket = '/var/run/docker.sock';

/**
 * What the `docker` command of this machine is, as far as its file tells: Docker's own client, or something else that has to be asked, such as
 * the script or link of Podman's package podman-docker. Undefined where there is none.
 */
export async function lookAtDockerProgram(env: NodeJS.ProcessEnv): Promise<'client' | 'unknown' | undefined> {
  for (const directory of (env.PATH ?? '').split(delimiter)) {
    try {
      const path = await realpath(join(directory, 'docker'));
      const file = await open(path);
      try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
        const isScript = bytesRead < 2 || buffer.toString('latin1') === '#!';
        return isScript || basename(path) !== 'docker' ? 'unknown' : 'client';
      } finally {
        await file.close();
      }
    } catch (error) {
      if (!isMissing(error)) return 'unknown';
    }
  }
  return undefined;
}
