import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HpcrunError, isMissing } from '../errors.js';
import {
  checkHostKey,
  fingerprint,
  hostKeyType,
  knownHostName,
  knownKeyTypes,
  parseKnownHosts,
  renderKnownHost,
  type KnownHost,
} from './known-hosts.js';
import type { Prompter } from './prompter.js';
import type { HostSettings } from './ssh-config.js';

/** Reads all known_hosts files of a host; missing ones are empty. */
export async function loadKnownHosts(files: string[]): Promise<KnownHost[]> {
  const texts = await Promise.all(
    files.map(async (file) => {
      try {
        return await readFile(file, 'utf8');
      } catch (error) {
        if (isMissing(error)) return '';
        throw new HpcrunError('CONNECTION_FAILED', `cannot read ${file}`, {
          cause: error,
          hint: 'Check its permissions.',
        });
      }
    }),
  );
  return texts.flatMap(parseKnownHosts);
}

/** The signature algorithms to prefer, so that the server shows a key that is already known (RFC 8332 for RSA). */
export function preferredKeyAlgorithms(known: KnownHost[], settings: HostSettings): string[] {
  const types = knownKeyTypes(known, settings.host, settings.port);
  return types.flatMap((type) => comparableAlgorithms[type] ?? []);
}

// By key type; ssh2 has no others.
const comparableAlgorithms: Record<string, string[]> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'],
};

/**
 * Decides about a server's key: a known one passes; an unknown one is shown, asked about and stored; a changed or
 * revoked one never passes. Throws HOST_KEY_UNKNOWN, HOST_KEY_CHANGED or HOST_KEY_REVOKED.
 */
export async function verifyHostKey(
  key: Buffer,
  known: KnownHost[],
  settings: HostSettings,
  prompter: Prompter,
): Promise<void> {
  const name = knownHostName(settings.host, settings.port);
  const [file] = settings.knownHostsFiles;
  const shown = `${hostKeyType(key)} ${fingerprint(key)}`;
  const verdict = checkHostKey(known, settings.host, settings.port, key);
  switch (verdict) {
    case 'known':
      return;
    case 'revoked':
      throw new HpcrunError('HOST_KEY_REVOKED', `the host key of ${name} (${shown}) is marked as revoked`, {
        hint: 'Do not connect. Ask the administrators of the cluster.',
      });
    case 'changed':
      throw new HpcrunError(
        'HOST_KEY_CHANGED',
        `the host key of ${name} has changed: it is now ${shown}. Somebody may be listening in, or the host was installed anew`,
        {
          hint: `Ask the administrators for the new fingerprint. If it is this one, remove the old key with: ssh-keygen -R '${name}'${file ? ` -f '${file}'` : ''}`,
        },
      );
    case 'unknown':
      await askAboutHostKey(key, name, shown, settings, prompter);
  }
}

async function askAboutHostKey(
  key: Buffer,
  name: string,
  shown: string,
  settings: HostSettings,
  prompter: Prompter,
): Promise<void> {
  const unknown = (cause?: unknown) =>
    new HpcrunError('HOST_KEY_UNKNOWN', `the host key of ${name} is not known: ${shown}`, {
      hint: `Compare the fingerprint with the one your cluster publishes, then connect once in a terminal and answer "yes", or run: ssh ${settings.alias}`,
      cause,
    });
  let answer: string;
  try {
    prompter.tell(`The authenticity of ${name} cannot be established.\nIts key is ${shown}.`);
    answer = await prompter.ask('Is this the fingerprint your cluster publishes? (yes/no) ', { secret: false });
  } catch (error) {
    if (error instanceof HpcrunError && error.code === 'INPUT_NEEDED') throw unknown(error);
    throw error;
  }
  const accepted = answer.trim().toLowerCase();
  if (accepted !== 'yes' && accepted !== fingerprint(key).toLowerCase()) throw unknown();
  const [file] = settings.knownHostsFiles;
  if (file === undefined) return;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await appendFile(file, renderKnownHost(settings.host, settings.port, key), { mode: 0o600 });
}
