import { createHash, createHmac } from 'node:crypto';

/** One usable line of a known_hosts file (sshd man page, SSH_KNOWN_HOSTS FILE FORMAT). */
export interface KnownHost {
  marker: 'revoked' | 'cert-authority' | undefined;
  /** Comma-separated patterns, or one hashed name `|1|salt|hash`. */
  names: string;
  keyType: string;
  /** The key, base64 as in the file. */
  key: string;
}

/** Parses known_hosts text. Comments, empty and malformed lines are passed over, as OpenSSH does. */
export function parseKnownHosts(text: string): KnownHost[] {
  const entries: KnownHost[] = [];
  for (const line of text.split(/\r?\n/)) {
    const fields = line.trim().split(/[ \t]+/);
    if (fields[0] === undefined || fields[0] === '' || fields[0].startsWith('#')) continue;
    const marker =
      fields[0] === '@revoked' ? 'revoked' : fields[0] === '@cert-authority' ? 'cert-authority' : undefined;
    if (fields[0].startsWith('@')) {
      if (!marker) continue;
      fields.shift();
    }
    const [names, keyType, key] = fields;
    // SSH-1 lines and damaged ones do not name the type that their key has.
    if (names && keyType && key && hostKeyType(Buffer.from(key, 'base64')) === keyType) {
      entries.push({ marker, names, keyType, key });
    }
  }
  return entries;
}

/** The name under which a host is looked up: `host`, or `[host]:port` for a port other than 22. */
export function knownHostName(host: string, port: number): string {
  const lower = host.toLowerCase();
  return port === 22 ? lower : `[${lower}]:${port}`;
}

function matchesPattern(pattern: string, name: string): boolean {
  const source = pattern
    .toLowerCase()
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 's').test(name);
}

function appliesTo(entry: KnownHost, name: string): boolean {
  if (entry.names.startsWith('|1|')) {
    const [, , salt, hash] = entry.names.split('|');
    if (!salt || !hash) return false;
    return createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === hash;
  }
  let matched = false;
  for (const pattern of entry.names.split(',')) {
    if (pattern.startsWith('!')) {
      if (matchesPattern(pattern.slice(1), name)) return false;
    } else if (matchesPattern(pattern, name)) matched = true;
  }
  return matched;
}

export type HostKeyVerdict = 'known' | 'unknown' | 'changed' | 'revoked';

/**
 * Compares a server's key with the known ones. `changed`: the host is known, by other keys; as in OpenSSH, a key of
 * another type counts, because a server is asked for the known types first.
 */
export function checkHostKey(entries: KnownHost[], host: string, port: number, key: Buffer): HostKeyVerdict {
  const name = knownHostName(host, port);
  const offered = key.toString('base64');
  const applicable = entries.filter((entry) => appliesTo(entry, name));
  if (applicable.some((entry) => entry.marker === 'revoked' && entry.key === offered)) return 'revoked';
  const plain = applicable.filter((entry) => entry.marker === undefined);
  if (plain.some((entry) => entry.key === offered)) return 'known';
  return plain.length > 0 ? 'changed' : 'unknown';
}

/** The key types stored for a host, so that the server is asked for a key that can be compared. */
export function knownKeyTypes(entries: KnownHost[], host: string, port: number): string[] {
  const name = knownHostName(host, port);
  return [...new Set(entries.filter((entry) => !entry.marker && appliesTo(entry, name)).map((entry) => entry.keyType))];
}

/** The type named at the start of an SSH public key blob (RFC 4253, 6.6). */
export function hostKeyType(key: Buffer): string {
  const length = key.length >= 4 ? key.readUInt32BE(0) : 0;
  return key.subarray(4, 4 + length).toString('latin1');
}

/** As OpenSSH prints it: `SHA256:` and unpadded base64. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/** The line to append to a known_hosts file, with its newline. */
export function renderKnownHost(host: string, port: number, key: Buffer): string {
  return `${knownHostName(host, port)} ${hostKeyType(key)} ${key.toString('base64')}\n`;
}
