import { execa } from 'execa';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findExpiredCertificates, parseValidUntil } from '../../src/ssh/expired-certificates.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

async function makeCertificate(validity: string[]): Promise<string> {
  const directory = await makeTemporaryDirectory();
  const [key, ca] = [join(directory, 'key'), join(directory, 'ca')];
  for (const file of [key, ca]) await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
  await execa('ssh-keygen', ['-q', '-s', ca, '-I', 'test', '-n', 'ada', ...validity, `${key}.pub`]);
  return key;
}

describe('findExpiredCertificates', () => {
  it('finds one that has been valid', async () => {
    const key = await makeCertificate(['-V', '20200101:20200102']);
    const found = { file: `${key}-cert.pub`, validUntil: '2020-01-02T00:00:00' };
    expect(await findExpiredCertificates({ identityFiles: [key], certificateFiles: [] })).toEqual([found]);
    const named = { identityFiles: [], certificateFiles: [`${key}-cert.pub`] };
    expect(await findExpiredCertificates(named)).toEqual([found]);
    expect(await findExpiredCertificates(named, new Date('2020-01-01T12:00:00'))).toEqual([]);
  });

  it.each([[['-V', '-1d:+1d']], [[]]])('leaves alone one that is valid: %j', async (validity) => {
    const key = await makeCertificate(validity);
    expect(await findExpiredCertificates({ identityFiles: [key], certificateFiles: [] })).toEqual([]);
  });

  it('passes over what is not there and what is no certificate', async () => {
    const directory = await makeTemporaryDirectory();
    const key = join(directory, 'key');
    await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    const files = { identityFiles: [key], certificateFiles: [`${key}.pub`] };
    expect(await findExpiredCertificates(files)).toEqual([]);
  });
});

describe('parseValidUntil', () => {
  it.each([
    ['        Valid: from 2026-11-24T08:00:00 to 2026-11-25T08:00:00\n', '2026-11-25T08:00:00'],
    ['        Valid: before 2026-11-25T08:00:00\n', '2026-11-25T08:00:00'],
    ['        Valid: after 2026-11-25T08:00:00\n', undefined],
    ['        Valid: forever\n', undefined],
    [undefined, undefined],
  ])('reads %j', (text, expected) => {
    expect(parseValidUntil(text)).toBe(expected);
  });
});
