import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HpcrunError, isMissing } from '../errors.js';
import {
  checkHostKey,
  fingerprint,
  hostKeyType,
  knownHostName,
  knownKeyTypes,
  makeSalt,
  parseKnownHosts,
  renderKnownHost,
  type KnownHost,
} from './known-hosts.js';
import type { Prompter } from './prompter.js';
import type { HostSettings } from './ssh-config.js';

/** Reads all known_hosts files of a host; missing ones are empty. */
export async function loadKnownHosts(files: string[]): Promise<KnownHost[]> {
  const texts = await Promise.all(files.map(readIfThere));
  return texts.flatMap((text, index) => parseKnownHosts(text.toString('utf8'), files[index] ?? ''));
}

async function readIfThere(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    if (isMissing(error)) return Buffer.alloc(0);
    throw unreadable(file, error);
  }
}

function unreadable(file: string, cause: unknown): HpcrunError {
  return new HpcrunError('CONNECTION_FAILED', `cannot read ${file}`, { cause, hint: 'Check its permissions.' });
}

function nameOf({ hostKeyAlias, host, port }: HostSettings): string {
  return hostKeyAlias?.toLowerCase() ?? knownHostName(host, port);
}

/**
 * The signature algorithms to ask a server for (RFC 8332 for RSA): as in OpenSSH, first those of the key types that are known for it, so
 * that it shows a key that can be compared.
 */
export function hostKeyAlgorithms(known: KnownHost[], settings: HostSettings): string[] {
  const types = knownKeyTypes(known, nameOf(settings));
  const [first, last] = [true, false].map((isKnown) =>
    Object.entries(comparableAlgorithms).flatMap(([type, names]) => (types.includes(type) === isKnown ? names : [])),
  );
  return [...(first ?? []), ...(last ?? [])];
}

// By key type, in OpenSSH's order of preference; ssh2 has no others.
const comparableAlgorithms: Record<string, string[]> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'],
};

/** A server's key, and the address it came from if it is known. */
export interface ShownHostKey {
  key: Buffer;
  address: string | undefined;
}

/**
 * Decides about a server's key: a known one passes; an unknown one is shown, asked about and stored (or what
 * StrictHostKeyChecking says); a changed or revoked one never passes. Throws HOST_KEY_UNKNOWN, HOST_KEY_CHANGED or HOST_KEY_REVOKED.
 */
export async function verifyHostKey(
  { key, address }: ShownHostKey,
  known: KnownHost[],
  settings: HostSettings,
  prompter: Prompter,
): Promise<void> {
  const name = nameOf(settings);
  const shown = `${hostKeyType(key)} ${fingerprint(key)}`;
  for (const file of settings.revokedHostKeysFiles) {
    if (await isListed(key, file)) throw revoked(name, shown, file);
  }
  const verdict = checkHostKey(known, name, key);
  switch (verdict.type) {
    case 'known':
      break;
    case 'revoked':
      throw revoked(name, shown, `${verdict.by.file}:${verdict.by.line}`);
    case 'changed':
      // Where the host is known by nothing that ssh2 could have asked for, nothing has changed.
      if (verdict.known.some(({ keyType }) => keyType in comparableAlgorithms))
        throw changed(name, shown, verdict.known);
      await accept(key, name, shown, settings, prompter);
      break;
    case 'unknown':
      if (verdict.authorities.length > 0) throw certified(name, shown, verdict.authorities);
      await accept(key, name, shown, settings, prompter);
  }
  if (settings.checkHostAddress && settings.hostKeyAlias === undefined && address !== undefined) {
    const byAddress = checkHostKey(known, knownHostName(address, settings.port), key);
    if (byAddress.type === 'changed') throw changed(address, shown, byAddress.known);
  }
}

function revoked(name: string, shown: string, where: string): HpcrunError {
  return new HpcrunError('HOST_KEY_REVOKED', `the host key of ${name} (${shown}) is marked as revoked in ${where}`, {
    hint: 'Do not connect. Ask the administrators of the cluster.',
  });
}

function changed(name: string, shown: string, known: KnownHost[]): HpcrunError {
  const places = known.map(({ keyType, file, line }) => `${keyType} in ${file}:${line}`).join(', ');
  const files = [...new Set(known.map(({ file }) => file))];
  const commands = files.map((file) => `ssh-keygen -f '${file}' -R '${name}'`).join(' && ');
  return new HpcrunError(
    'HOST_KEY_CHANGED',
    `the host key of ${name} has changed: it is now ${shown}, known is ${places}. Somebody may be listening in, or the host was installed anew`,
    { hint: `Ask the administrators for the new fingerprint. If it is this one, remove the old key with: ${commands}` },
  );
}

function certified(name: string, shown: string, authorities: KnownHost[]): HpcrunError {
  const places = authorities.map(({ file, line }) => `${file}:${line}`).join(', ');
  return new HpcrunError(
    'HOST_KEY_UNKNOWN',
    `${name} is trusted through a certificate authority (@cert-authority in ${places}), whose certificates hpcrun's own SSH cannot check; the key alone (${shown}) is not known`,
    {
      hint: `Let the system's ssh log in: "transport: openssh" in the cluster's configuration. Or compare the fingerprint and store the key itself with: ssh-keyscan`,
    },
  );
}

/** Whether a RevokedHostKeys file, one public key a line, has the key. Throws HOST_KEY_REVOKED if it cannot be known. */
async function isListed(key: Buffer, file: string): Promise<boolean> {
  let content: Buffer;
  try {
    content = await readFile(file);
  } catch (error) {
    throw unreadable(file, error);
  }
  if (content.subarray(0, 6).toString('latin1') === 'SSHKRL') {
    throw new HpcrunError(
      'CONNECTION_FAILED',
      `${file} (RevokedHostKeys) is a list in OpenSSH's binary format, which hpcrun cannot read`,
      {
        hint: `Let the system's ssh log in: "transport: openssh" in the cluster's configuration.`,
      },
    );
  }
  const wanted = key.toString('base64');
  return content.toString('utf8').split(/\s+/).includes(wanted);
}

async function accept(
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
  if (settings.unknownHostKeys === 'refuse') throw unknown();
  if (settings.unknownHostKeys === 'ask') {
    let answer: string;
    try {
      prompter.tell(`The authenticity of ${name} cannot be established.\nIts key is ${shown}.`, { isNotice: true });
      answer = await prompter.ask('Is this the fingerprint your cluster publishes? (yes/no) ', {
        secret: false,
        isLasting: true,
      });
    } catch (error) {
      if (error instanceof HpcrunError && error.code === 'INPUT_NEEDED') throw unknown(error);
      throw error;
    }
    const given = answer.trim();
    if (given.toLowerCase() !== 'yes' && given !== fingerprint(key)) throw unknown();
  } else {
    prompter.tell(`The key of ${name} is stored without a question (StrictHostKeyChecking): ${shown}`, {
      isNotice: true,
    });
  }
  const [file] = settings.knownHostsFiles;
  if (file !== undefined)
    await store(file, renderKnownHost(name, key, settings.hashKnownHosts ? makeSalt() : undefined));
}

async function store(file: string, line: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const content = await readIfThere(file);
  // A last line without an end would be made one with the new line.
  const separator = content.length > 0 && content.at(-1) !== 0x0a ? '\n' : '';
  await appendFile(file, `${separator}${line}`, { mode: 0o600 });
}
