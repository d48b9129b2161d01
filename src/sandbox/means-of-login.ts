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
  const pair = ssh2.utils.generateKeyPairSync('ed25519', { comment: 'hpcrun-sandbox' });
  const password = randomBytes(9).toString('base64url');
  const totpSecret = encodeBase32(randomBytes(20));
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(files.key, pair.private, { mode: 0o600 });
  await writeFile(files.password, `${password}\n`, { mode: 0o600 });
  await writeFile(files.totpSecret, `${totpSecret}\n`, { mode: 0o600 });
  return { publicKey: pair.public, password, totpSecret };
}

function encodeBase32(bytes: Buffer): string {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{5}/g) ?? []).map((five) => digits[parseInt(five, 2)]).join('');
}
