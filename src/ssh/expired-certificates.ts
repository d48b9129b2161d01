import { access } from 'node:fs/promises';
import type { HostSettings } from './ssh-config.js';

export interface ExpiredCertificate {
  file: string;
  /** As ssh-keygen prints it, in local time. */
  validUntil: string;
}

/** The user's certificates for a host that are out of date. ssh itself passes them over in silence. */
export async function findExpiredCertificates(
  { identityFiles, certificateFiles }: Pick<HostSettings, 'identityFiles' | 'certificateFiles'>,
  now = new Date(),
): Promise<ExpiredCertificate[]> {
  const expired: ExpiredCertificate[] = [];
  const { execa } = await import('execa');
  for (const file of [...certificateFiles, ...identityFiles.map((path) => `${path}-cert.pub`)]) {
    const isThere = await access(file).then(
      () => true,
      () => false,
    );
    if (!isThere) continue;
    const { stdout } = await execa('ssh-keygen', ['-L', '-f', file], {
      reject: false,
      stdin: 'ignore',
      timeout: 10_000,
    });
    const validUntil = parseValidUntil(stdout);
    if (validUntil !== undefined && new Date(validUntil) < now) expired.push({ file, validUntil });
  }
  return expired;
}

/** Of `ssh-keygen -L`, such as `Valid: from 2026-11-24T08:00:00 to 2026-11-25T08:00:00`. Undefined for one that is valid for ever. */
export function parseValidUntil(text: string | undefined): string | undefined {
  return /^\s*Valid: .*\b(?:to|before) (\d{4}-\d\d-\d\dT[\d:]+)\s*$/m.exec(text ?? '')?.[1];
}
