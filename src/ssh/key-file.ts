import { readFile } from 'node:fs/promises';
import ssh2, { type ParsedKey } from 'ssh2';
import { HpcrunError, isMissing } from '../errors.js';
import { hostKeyType } from './known-hosts.js';
import type { Prompter } from './prompter.js';

const passphraseAttempts = 3;

/** A key file: its public part, where that can be known without a passphrase, and whether it has a private one. */
export interface KeyFile {
  path: string;
  publicKey: PublicKey | undefined;
  privateText: Buffer | undefined;
}

/** Of any type, also those that ssh2 does not know. */
export interface PublicKey {
  type: string;
  blob: Buffer;
}

/** Reads what is known of a key without opening it. Throws LOGIN_FAILED if a file cannot be read. */
export async function readKeyFile(path: string): Promise<KeyFile> {
  const [text, beside] = await Promise.all([readIfThere(path), readIfThere(`${path}.pub`)]);
  // As in OpenSSH, IdentityFile may also name the public part of a key that an agent holds.
  const own = text && parsePublicKey(text.toString('utf8'));
  return {
    path,
    publicKey: own ?? (text && publicPart(text)) ?? (beside && parsePublicKey(beside.toString('utf8'))),
    privateText: own ? undefined : text,
  };
}

/** Whether a private key is in the format of OpenSSL's newer commands, which OpenSSH reads and ssh2 does not. */
export function isPkcs8(text: Buffer): boolean {
  return /^-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/m.test(text.toString('latin1'));
}

/** The first line of an OpenSSH public key file (sshd man page, AUTHORIZED_KEYS FILE FORMAT), without options. */
export function parsePublicKey(text: string): PublicKey | undefined {
  const [type, base64] = text.trim().split(/[ \t]+/, 2);
  if (type === undefined || base64 === undefined) return undefined;
  const blob = Buffer.from(base64, 'base64');
  return hostKeyType(blob) === type ? { type, blob } : undefined;
}

/** A public key as ssh2 takes it; undefined for kinds that it does not know. */
export function parseKeyBlob({ type, blob }: PublicKey): ParsedKey | undefined {
  return parse(Buffer.from(`${type} ${blob.toString('base64')}`));
}

/** The public part, which OpenSSH's own format leaves unencrypted (PROTOCOL.key of openssh-portable), or that of an open key. */
function publicPart(text: Buffer): PublicKey | undefined {
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]*?)-----END/.exec(text.toString('latin1'))?.[1];
  if (body === undefined) {
    const parsed = parse(text);
    return parsed && { type: parsed.type, blob: parsed.getPublicSSH() };
  }
  const data = Buffer.from(body, 'base64');
  let at = 'openssh-key-v1\0'.length;
  const skip = (bytes: number) => (at += bytes);
  const next = () => {
    const field = data.subarray(at + 4, at + 4 + (at + 4 <= data.length ? data.readUInt32BE(at) : 0));
    skip(4 + field.length);
    return field;
  };
  for (let field = 0; field < 3; field += 1) next();
  skip(4);
  const blob = next();
  const type = hostKeyType(blob);
  return type === '' ? undefined : { type, blob };
}

/** Opens a private key, with its passphrase if it has one. Undefined if it cannot be used: of an unknown kind, or without its passphrase. */
export async function openPrivateKey(path: string, text: Buffer, prompter: Prompter): Promise<ParsedKey | undefined> {
  const unencrypted = ssh2.utils.parseKey(text);
  if (!(unencrypted instanceof Error)) return single(unencrypted);
  // ssh2 says so in words only; keys of kinds it does not know (FIDO, for one) are left to what comes next.
  if (!/passphrase|encrypted/i.test(unencrypted.message)) return undefined;
  for (let attempt = 0; attempt < passphraseAttempts; attempt += 1) {
    const passphrase = await prompter.ask(`Enter passphrase for key '${path}': `, { secret: true });
    // As in OpenSSH: whoever just presses Enter does without the key.
    if (passphrase === '') return undefined;
    const key = parse(text, passphrase);
    if (key) return key;
    if (attempt + 1 < passphraseAttempts) prompter.tell('That is not the passphrase; try again.');
  }
  return undefined;
}

function parse(text: Buffer, passphrase?: string): ParsedKey | undefined {
  const parsed = ssh2.utils.parseKey(text, passphrase);
  return parsed instanceof Error ? undefined : single(parsed);
}

// One file holds one key; the declared type leaves the list open.
function single(parsed: ParsedKey | ParsedKey[]): ParsedKey | undefined {
  return Array.isArray(parsed) ? parsed[0] : parsed;
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw new HpcrunError('LOGIN_FAILED', `cannot read the key ${path}`, {
      cause: error,
      hint: 'Check its permissions.',
    });
  }
}
