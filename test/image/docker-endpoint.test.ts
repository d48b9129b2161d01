import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { findDockerSocket, lookAtDockerProgram } from '../../src/image/docker-endpoint.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

let directory: string;
let env: NodeJS.ProcessEnv;

async function program(name: string, content: string | Buffer): Promise<string> {
  const path = join(directory, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, content);
  await chmod(path, 0o755);
  return path;
}

const binary = Buffer.from('\x7fELF\x02', 'latin1');

beforeEach(async () => {
  directory = await makeTemporaryDirectory();
  await program('bin/docker', binary);
  env = { HOME: directory, PATH: `${join(directory, 'nothing')}:${join(directory, 'bin')}` };
});

describe('lookAtDockerProgram', () => {
  it('knows the client by its file', async () => {
    expect(await lookAtDockerProgram(env)).toBe('client');
    expect(await lookAtDockerProgram({ PATH: join(directory, 'nothing') })).toBeUndefined();
  });

  it('has a script asked, and a link to another program', async () => {
    await program('script/docker', '#!/bin/sh\nexec podman "$@"\n');
    expect(await lookAtDockerProgram({ PATH: join(directory, 'script') })).toBe('unknown');
    await program('link/podman', binary);
    await symlink('podman', join(directory, 'link', 'docker'));
    expect(await lookAtDockerProgram({ PATH: join(directory, 'link') })).toBe('unknown');
  });
});

describe('findDockerSocket', () => {
  const configured = async (config: string) => {
    await mkdir(join(directory, 'configured'), { recursive: true });
    await writeFile(join(directory, 'configured', 'config.json'), config);
    return { ...env, DOCKER_CONFIG: join(directory, 'configured') };
  };

  it('is the usual one where nothing is set', async () => {
    expect(await findDockerSocket(env)).toBe('/var/run/docker.sock');
    expect(await findDockerSocket(await configured('{"auths": {}}'))).toBe('/var/run/docker.sock');
    expect(await findDockerSocket(await configured('{"currentContext": "default"}'))).toBe('/var/run/docker.sock');
    expect(await findDockerSocket({ ...env, DOCKER_CONTEXT: 'default' })).toBe('/var/run/docker.sock');
  });

  it('is what DOCKER_HOST says', async () => {
    expect(await findDockerSocket({ ...env, DOCKER_HOST: 'unix:///run/user/7/docker.sock' })).toBe(
      '/run/user/7/docker.sock',
    );
    expect(await findDockerSocket({ ...env, DOCKER_HOST: 'tcp://there:2375' })).toBeUndefined();
  });

  it('is not known where only the client knows', async () => {
    expect(await findDockerSocket({ ...env, DOCKER_CONTEXT: 'desktop-linux' })).toBeUndefined();
    expect(await findDockerSocket(await configured('{"currentContext": "colima"}'))).toBeUndefined();
    expect(await findDockerSocket(await configured('{"currentContext": '))).toBeUndefined();
    expect(await findDockerSocket({ ...env, PATH: '' })).toBeUndefined();
  });
});
