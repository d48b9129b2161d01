import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Registry } from '../../../src/config/schema.js';
import { loadCredentials, renderCredentials } from '../../../src/run/conversion/registry-credentials.js';
import { failureOf } from '../../support/failure.js';
import { makeTemporaryDirectory } from '../../support/temporary-directory.js';

const { signal } = new AbortController();
const registry = (credentials: Registry['credentials'], push = 'ghcr.io/ada/hpcrun'): Registry => ({
  push,
  insecure: false,
  credentials,
});
const encode = (text: string) => Buffer.from(text).toString('base64');

const withDockerConfig = async (config: string) => {
  const directory = await makeTemporaryDirectory();
  await writeFile(join(directory, 'config.json'), config);
  return { DOCKER_CONFIG: directory, PATH: `${directory}:${process.env.PATH ?? ''}` };
};

describe('loadCredentials', () => {
  it('reads nothing unless it is asked to', async () => {
    const env = await withDockerConfig('not even JSON');
    expect(await loadCredentials(registry('none'), env, signal)).toBeUndefined();
  });

  it('takes them from the environment, or says what is missing', async () => {
    const env = { HPCRUN_REGISTRY_USERNAME: 'ada', HPCRUN_REGISTRY_PASSWORD: 'p:w' };
    expect(await loadCredentials(registry('environment'), env, signal)).toEqual({ username: 'ada', password: 'p:w' });
    expect((await failureOf(() => loadCredentials(registry('environment'), {}, signal))).code).toBe('VARIABLE_MISSING');
  });

  it.for<[push: string, server: string]>([
    ['ghcr.io/ada/hpcrun', 'ghcr.io'],
    ['127.0.0.1:5000/hpcrun', '127.0.0.1:5000'],
    ['docker.io/ada/hpcrun', 'https://index.docker.io/v1/'],
  ])("finds Docker's login for %s", async ([push, server]) => {
    const env = await withDockerConfig(JSON.stringify({ auths: { [server]: { auth: encode('ada:p:w') } } }));
    expect(await loadCredentials(registry('docker', push), env, signal)).toEqual({ username: 'ada', password: 'p:w' });
  });

  it('asks a credential helper, with the registry on its standard input', async () => {
    const env = await withDockerConfig(JSON.stringify({ auths: { 'ghcr.io': {} }, credsStore: 'test' }));
    const helper = join(env.DOCKER_CONFIG, 'docker-credential-test');
    await writeFile(helper, '#!/bin/sh\nread -r server\nprintf \'{"Username":"%s","Secret":"s"}\' "$1-$server"\n');
    await chmod(helper, 0o755);
    expect(await loadCredentials(registry('docker'), env, signal)).toEqual({ username: 'get-ghcr.io', password: 's' });
  });

  it('tells how to log in where Docker knows no login', async () => {
    const env = await withDockerConfig('{}');
    expect((await failureOf(() => loadCredentials(registry('docker'), env, signal))).hint).toBe('docker login ghcr.io');
  });

  it('quotes nothing of a configuration it cannot read', async () => {
    const env = await withDockerConfig('{"auths": secret');
    const error = await failureOf(() => loadCredentials(registry('docker'), env, signal));
    expect(error.code).toBe('CONFIG_INVALID');
    expect(`${error.message} ${String(error.cause)}`).not.toContain('secret');
  });
});

describe('renderCredentials', () => {
  it('refuses what would be read as another line', () => {
    expect(() => renderCredentials({ username: 'ada', password: 'a\nb' })).toThrow(/line break/);
  });
});
