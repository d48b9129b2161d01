import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ssh2 from 'ssh2';

/** Files in the sandbox's state directory with what its user logs in with; 0600. */
export function loginFiles(directory: string): { key: string; password: string; totpSecret: string } {
  return {
    key: join(directory, 'id_ed25519'),
    password: join(directory, 'password'),
    totpSecret: join(directory, 'totp-secret'),
  };
}

export interface MeansOfLogin {
  publicKey: string;
  password: string;
  /** Base32 (RFC 4648), without padding. */
  totpSecret: string;
}

/** Makes the sandbox's own key pair, and a password and a secret for one-time codes, which only some quirks ask for. */
export async function makeMeansOfLogin(directory: string): Promise<MeansOfLogin> {
  const files = loginFiles(directory);
  const pair = makeKeyPair();
  const password = randomBytes(9).toString('base64url');
  const totpSecret = encodeBase32(randomBytes(20));
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(files.key, pair.private, { mode: 0o600 });
  await writeFile(files.password, `${password}\n`, { mode: 0o600 });
  await writeFile(files.totpSecret, `${totpSecret}\n`, { mode: 0o600 });
  return { publicKey: pair.public, password, totpSecret };
}

/** ssh2 makes one key in 256 that nobody can read: it drops a zero at the beginning of the public part. */
function makeKeyPair(): { private: string; public: string } {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519', { comment: 'hpcrun-sandbox' });
    const blob = Buffer.from(pair.public.split(' ')[1] ?? '', 'base64');
    if (blob.length === ed25519BlobBytes) return pair;
  }
}

// Two strings with their lengths, RFC 8709, section 4: the type, and 32 bytes.
const ed25519BlobBytes = 4 + 'ssh-ed25519'.length + 4 + 32;

function encodeBase32(bytes: Buffer): string {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{5}/g) ?? []).map((five) => digits[parseInt(five, 2)]).join('');
}
