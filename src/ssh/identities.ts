import { stat } from 'node:fs/promises';
import type { ParsedKey } from 'ssh2';
import { HpcrunError, isMissing, messageOf } from '../errors.js';
import { listAgentKeys, signWithAgent, type AgentKey } from './agent.js';
import { isPkcs8, openPrivateKey, parseKeyBlob, readKeyFile, type KeyFile } from './key-file.js';
import type { KeyRing } from './key-ring.js';
import type { Prompter } from './prompter.js';
import type { HostSettings } from './ssh-config.js';

export type Hash = 'sha1' | 'sha256' | 'sha512';

/** A key to log in with. */
export interface Identity {
  /** For messages. */
  label: string;
  /** The key to offer; for some, asks for a passphrase if need be. Undefined if the key cannot be opened. */
  loadKey(): Promise<ParsedKey | undefined>;
  /** What signs; asks for a passphrase if need be. Undefined if the key cannot be opened. */
  open(): Promise<((data: Buffer, hash: Hash | undefined) => Promise<Buffer>) | undefined>;
}

export interface IdentitySources {
  settings: HostSettings;
  keys: KeyRing;
  prompter: Prompter;
  /** Told of keys that are passed over, and why. */
  passOver: (label: string, why: string) => void;
  /** Told of what only OpenSSH itself could use, such as `the certificate FILE`. */
  beyondUs: (what: string) => void;
}

/**
 * The keys to try, in OpenSSH's order (ssh_config man page, IdentitiesOnly): those of IdentityFile that the agent holds, the agent's other ones
 * unless IdentitiesOnly, then those that are in files only.
 */
export async function findIdentities(sources: IdentitySources): Promise<Identity[]> {
  const found: Identity[] = [];
  const { settings, keys, prompter, passOver, beyondUs } = sources;
  const files = await readKeyFiles(sources);
  const held = await askAgent(sources);
  const fileOf = (key: AgentKey) => files.find(({ publicKey }) => publicKey?.blob.equals(key.blob));

  const [listed, others] = [held.filter(fileOf), held.filter((key) => !fileOf(key))];
  for (const key of [...listed, ...(settings.identitiesOnly ? [] : others)]) {
    const label = `${fileOf(key)?.path ?? key.comment} (agent)`;
    if (isBeyondSsh2(key.type)) beyondUs(`the agent's ${kindOf(key.type)} ${key.comment}`);
    else {
      const identity = agentIdentity(label, key, settings.agentSocket ?? '');
      if (identity) found.push(identity);
    }
  }

  for (const { path, publicKey, privateText } of files) {
    if (publicKey && held.some(({ blob }) => blob.equals(publicKey.blob))) continue;
    if (privateText === undefined) continue;
    if (publicKey && isBeyondSsh2(publicKey.type)) {
      beyondUs(`the ${kindOf(publicKey.type)} ${path}`);
      continue;
    }
    if (isPkcs8(privateText)) {
      beyondUs(`the key ${path} (in the format PKCS#8)`);
      continue;
    }
    const open = async () => await openFile(path, privateText, keys, prompter, passOver);
    const key = publicKey && parseKeyBlob(publicKey);
    if (publicKey && !key) {
      beyondUs(`the key ${path} of type ${publicKey.type}`);
      continue;
    }
    found.push({
      label: path,
      // Older formats hide the public part, too; whether the server wants the key is known only afterwards.
      loadKey: async () => key ?? (await open()),
      async open() {
        const opened = await open();
        return opened && ((data, hash) => Promise.resolve(sign(opened, data, hash)));
      },
    });
  }
  return found;
}

async function readKeyFiles({ settings, passOver, beyondUs }: IdentitySources): Promise<KeyFile[]> {
  const files: KeyFile[] = [];
  for (const path of settings.identityFiles) {
    if (await exists(`${path}-cert.pub`)) beyondUs(`the certificate ${path}-cert.pub`);
    try {
      files.push(await readKeyFile(path));
    } catch (error) {
      passOver(path, messageOf(error));
    }
  }
  for (const path of settings.certificateFiles) if (await exists(path)) beyondUs(`the certificate ${path}`);
  return files;
}

async function askAgent({ settings, passOver }: IdentitySources): Promise<AgentKey[]> {
  if (settings.agentSocket === undefined || !(await exists(settings.agentSocket))) return [];
  try {
    return await listAgentKeys(settings.agentSocket);
  } catch (error) {
    passOver('agent', messageOf(error));
    return [];
  }
}

function agentIdentity(label: string, key: AgentKey, socket: string): Identity | undefined {
  const parsed = parseKeyBlob(key);
  if (!parsed) return undefined;
  return {
    label,
    loadKey: () => Promise.resolve(parsed),
    open: () =>
      Promise.resolve((data, hash) => signWithAgent(socket, parsed, data, hash === 'sha1' ? undefined : hash)),
  };
}

async function openFile(
  path: string,
  text: Buffer,
  keys: KeyRing,
  prompter: Prompter,
  passOver: IdentitySources['passOver'],
): Promise<ParsedKey | undefined> {
  try {
    const key = await keys.open(path, () => openPrivateKey(path, text, prompter));
    if (!key) passOver(path, 'could not be opened');
    return key;
  } catch (error) {
    // Another key, or another way in, may do without the question.
    if (!(error instanceof HpcrunError) || error.code !== 'INPUT_NEEDED') throw error;
    passOver(path, 'its passphrase could not be asked for');
    return undefined;
  }
}

/** The declared type leaves out that ssh2 returns an error, where it does not throw one. */
function sign(key: ParsedKey, data: Buffer, hash: Hash | undefined): Buffer {
  const signature: unknown = key.sign(data, hash);
  if (Buffer.isBuffer(signature)) return signature;
  throw signature instanceof Error ? signature : new Error('the key does not sign');
}

function isBeyondSsh2(type: string): boolean {
  return type.startsWith('sk-') || type.includes('-cert-v');
}

function kindOf(type: string): string {
  return type.includes('-cert-v') ? 'certificate' : 'security key (FIDO)';
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
