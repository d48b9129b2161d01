import { createHash, createHmac, randomBytes } from 'node:crypto';

/** One usable line of a known_hosts file (sshd man page, SSH_KNOWN_HOSTS FILE FORMAT). */
export interface KnownHost {
  marker: 'revoked' | 'cert-authority' | undefined;
  /** Comma-separated patterns, or one hashed name `|1|salt|hash`. */
  names: string;
  keyType: string;
  /** The key, base64 as in the file. */
  key: string;
  file: string;
  /** From 1. */
  line: number;
}

/** Parses known_hosts text. Comments, empty and malformed lines are passed over, as OpenSSH does. */
export function parseKnownHosts(text: string, file: string): KnownHost[] {
  const entries: KnownHost[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
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
      entries.push({ marker, names, keyType, key, file, line: index + 1 });
    }
  }
  return entries;
}

/** The name under which a host is looked up: `host`, or `[host]:port` for a port other than 22. */
export function knownHostName(host: string, port: number): string {
  const lower = host.toLowerCase();
  return port === 22 ? lower : `[${lower}]:${port}`;
}

/** `*` for any characters and `?` for one. A star is only ever looked back to once, so that no pattern takes long. */
function matchesPattern(pattern: string, name: string): boolean {
  const wanted = pattern.toLowerCase();
  let [at, star, starredAt] = [0, -1, 0];
  let position = 0;
  while (position < name.length) {
    if (wanted[at] === '*') {
      star = at++;
      starredAt = position;
    } else if (at < wanted.length && (wanted[at] === '?' || wanted[at] === name[position])) {
      at += 1;
      position += 1;
    } else if (star >= 0) {
      at = star + 1;
      position = ++starredAt;
    } else return false;
  }
  while (wanted[at] === '*') at += 1;
  return at === wanted.length;
}

function appliesTo(entry: KnownHost, name: string): boolean {
  if (entry.names.startsWith('|1|')) {
    const [, , salt, hash] = entry.names.split('|');
    return salt !== undefined && hash === hashOf(name, Buffer.from(salt, 'base64'));
  }
  let matched = false;
  for (const pattern of entry.names.split(',')) {
    if (pattern.startsWith('!')) {
      if (matchesPattern(pattern.slice(1), name)) return false;
    } else if (matchesPattern(pattern, name)) matched = true;
  }
  return matched;
}

function hashOf(name: string, salt: Buffer): string {
  return createHmac('sha1', salt).update(name).digest('base64');
}

export type HostKeyVerdict =
  | { type: 'known' }
  /** `authorities`: the lines that trust a certificate authority for this host, whose certificates ssh2 cannot check. */
  | { type: 'unknown'; authorities: KnownHost[] }
  /** The host is known, by other keys only. */
  | { type: 'changed'; known: KnownHost[] }
  | { type: 'revoked'; by: KnownHost };

/**
 * Compares a server's key with the known ones. A key of another type counts as a change, because a server is asked for the known types
 * first.
 * @param name as `knownHostName` makes it
 */
export function checkHostKey(entries: KnownHost[], name: string, key: Buffer): HostKeyVerdict {
  const offered = key.toString('base64');
  const applicable = entries.filter((entry) => appliesTo(entry, name));
  const revoking = applicable.find((entry) => entry.marker === 'revoked' && entry.key === offered);
  if (revoking) return { type: 'revoked', by: revoking };
  const known = applicable.filter((entry) => entry.marker === undefined);
  if (known.some((entry) => entry.key === offered)) return { type: 'known' };
  if (known.length > 0) return { type: 'changed', known };
  // As in OpenSSH: a key that is known for the host at port 22 is good at its other ports.
  const bare = /^\[(.*)\]:\d+$/.exec(name)?.[1];
  const atUsualPort = bare === undefined ? undefined : checkHostKey(entries, bare, key);
  if (atUsualPort?.type === 'known' || atUsualPort?.type === 'revoked') return atUsualPort;
  return { type: 'unknown', authorities: applicable.filter((entry) => entry.marker === 'cert-authority') };
}

/** The key types stored for a host, so that the server is asked for a key that can be compared. */
export function knownKeyTypes(entries: KnownHost[], name: string): string[] {
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

/**
 * The line to append to a known_hosts file, with its newline.
 * @param salt 20 bytes, to hide the name behind (HashKnownHosts)
 */
export function renderKnownHost(name: string, key: Buffer, salt?: Buffer): string {
  const shown = salt === undefined ? name : `|1|${salt.toString('base64')}|${hashOf(name, salt)}`;
  return `${shown} ${hostKeyType(key)} ${key.toString('base64')}\n`;
}

/** What `renderKnownHost` hides a name with. */
export function makeSalt(): Buffer {
  return randomBytes(20);
}
