import { execa } from 'execa';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { Registry } from '../../config/schema.js';
import { HpcrunError, isMissing, throwIfInterrupted } from '../../errors.js';

export interface Credentials {
  username: string;
  password: string;
}

// Docker's config.json, the parts that hold logins (docker login, "Credential stores" and "Credential helpers").
const dockerConfigSchema = z.object({
  auths: z.record(z.string(), z.object({ auth: z.string().optional() })).default({}),
  credsStore: z.string().optional(),
  credHelpers: z.record(z.string(), z.string()).default({}),
});

const helperAnswerSchema = z.object({ Username: z.string(), Secret: z.string() });

const userVariable = 'HPCRUN_REGISTRY_USERNAME';
const passwordVariable = 'HPCRUN_REGISTRY_PASSWORD';

/**
 * The login with which the cluster pulls; undefined where none is asked for. The user's Docker configuration is read only
 * if the registry's `credentials` say so. Throws VARIABLE_MISSING, or CONVERSION_FAILED where Docker has no login.
 */
export async function loadCredentials(
  registry: Registry,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  switch (registry.credentials) {
    case 'none':
      return undefined;
    case 'environment': {
      const username = env[userVariable];
      const password = env[passwordVariable];
      if (username !== undefined && password !== undefined) return { username, password };
      throw new HpcrunError(
        'VARIABLE_MISSING',
        `the registry's login is to come from your environment, which lacks it`,
        {
          hint: `Set ${userVariable} and ${passwordVariable}.`,
        },
      );
    }
    case 'docker': {
      const host = (registry.pull ?? registry.push).split('/')[0] ?? '';
      const pushHost = registry.push.split('/')[0] ?? '';
      const found = (await askDocker(host, env, signal)) ?? (await askDocker(pushHost, env, signal));
      if (found) return found;
      throw new HpcrunError('CONVERSION_FAILED', `Docker has no login for ${host}`, { hint: `docker login ${host}` });
    }
  }
}

/** Two lines, for the far side's standard input. Throws USAGE for what does not fit into a line. */
export function renderCredentials({ username, password }: Credentials): Buffer {
  if (/[\n\0]/.test(username + password)) {
    throw new HpcrunError('USAGE', "the registry's login holds a line break", { hint: `Check ${passwordVariable}.` });
  }
  return Buffer.from(`${username}\n${password}\n`, 'utf8');
}

async function askDocker(host: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<Credentials | undefined> {
  const config = await loadDockerConfig(env);
  // Docker Hub is written down under the address of its first version.
  const server = host === 'docker.io' ? 'https://index.docker.io/v1/' : host;
  const helper = config.credHelpers[server] ?? config.credsStore;
  if (helper !== undefined) return await askHelper(helper, server, env, signal);
  const auth = config.auths[server]?.auth ?? config.auths[`https://${server}`]?.auth;
  if (auth === undefined) return undefined;
  const decoded = Buffer.from(auth, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  return colon === -1 ? undefined : { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

async function loadDockerConfig(env: NodeJS.ProcessEnv): Promise<z.output<typeof dockerConfigSchema>> {
  const path = join(env.DOCKER_CONFIG ?? join(env.HOME ?? homedir(), '.docker'), 'config.json');
  try {
    return dockerConfigSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (isMissing(error)) return dockerConfigSchema.parse({});
    if (!(error instanceof SyntaxError) && !(error instanceof z.ZodError)) throw error;
    // Without the cause: a SyntaxError quotes the text, which holds passwords.
    throw new HpcrunError('CONFIG_INVALID', `${path} is not a configuration of Docker's that hpcrun can read`, {
      hint: `Log in anew with "docker login", or set registry: {credentials: environment}.`,
    });
  }
}

/** A credential helper takes the registry on its standard input and answers with JSON; it fails where it knows none. */
async function askHelper(
  helper: string,
  host: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  const result = await execa(`docker-credential-${helper}`, ['get'], {
    input: host,
    env,
    reject: false,
    cancelSignal: signal,
  });
  throwIfInterrupted(signal);
  if (result.exitCode !== 0) return undefined;
  return parseHelperAnswer(result.stdout);
}

/** Undefined for what is no answer: an error would quote it, and with it the password. */
function parseHelperAnswer(text: string): Credentials | undefined {
  try {
    const { Username, Secret } = helperAnswerSchema.parse(JSON.parse(text));
    return { username: Username, password: Secret };
  } catch {
    return undefined;
  }
}
