import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HpcrunError } from '../../src/errors.js';
import { loadKnownHosts, preferredKeyAlgorithms, verifyHostKey } from '../../src/ssh/host-key.js';
import { fingerprint, parseKnownHosts } from '../../src/ssh/known-hosts.js';
import type { Prompter } from '../../src/ssh/prompter.js';
import type { HostSettings } from '../../src/ssh/ssh-config.js';
import { failureOf } from '../support/failure.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

const makeKey = (rest: string) => Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from(`ssh-ed25519${rest}`)]);
const key = makeKey('the key');
const line = (host: string, rest: string) => `${host} ssh-ed25519 ${makeKey(rest).toString('base64')}\n`;

const settings = (...knownHostsFiles: string[]): HostSettings => ({
  alias: 'claix',
  host: 'login.example.org',
  port: 22,
  user: 'ada',
  identityFiles: [],
  identitiesOnly: true,
  agentSocket: undefined,
  knownHostsFiles,
  jumps: [],
});

/** Somebody who always gives the same answer, or nobody at all. */
const answering = (answer: string | undefined): Prompter & { told: string[] } => {
  const told: string[] = [];
  return {
    told,
    tell: (text) => void told.push(text),
    ask: () =>
      answer === undefined
        ? Promise.reject(new HpcrunError('INPUT_NEEDED', 'there is no terminal'))
        : Promise.resolve(answer),
  };
};

const unasked: Prompter = {
  tell: () => undefined,
  ask: () => Promise.reject(new Error('nothing was to be asked')),
};

describe('verifyHostKey', () => {
  it('lets a known key pass without a question', async () => {
    const known = parseKnownHosts(line('login.example.org', 'the key'));
    await expect(verifyHostKey(key, known, settings(), unasked)).resolves.toBeUndefined();
  });

  it.each([
    ['HOST_KEY_CHANGED', line('login.example.org', 'another key')],
    ['HOST_KEY_REVOKED', `@revoked ${line('*', 'the key')}`],
  ])('refuses with %s and without a question', async (code, text) => {
    const error = await failureOf(() => verifyHostKey(key, parseKnownHosts(text), settings('/k'), unasked));
    expect(error.code).toBe(code);
    expect(error.message).toContain(fingerprint(key));
  });

  it.each(['yes', ' YES \n', fingerprint(key)])('stores an unknown key after the answer %j', async (answer) => {
    const directory = await makeTemporaryDirectory();
    const file = join(directory, 'new', 'known_hosts');
    const prompter = answering(answer);
    await verifyHostKey(key, [], settings(file, join(directory, 'global')), prompter);
    expect(prompter.told.join('\n')).toContain(fingerprint(key));
    expect(await readFile(file, 'utf8')).toBe(line('login.example.org', 'the key'));
    await expect(verifyHostKey(key, await loadKnownHosts([file]), settings(), unasked)).resolves.toBeUndefined();
  });

  it.each(['no', '', 'y', 'SHA256:wrong', undefined])('does not store it after the answer %j', async (answer) => {
    const file = join(await makeTemporaryDirectory(), 'known_hosts');
    const error = await failureOf(() => verifyHostKey(key, [], settings(file), answering(answer)));
    expect(error.code).toBe('HOST_KEY_UNKNOWN');
    expect(error.message).toContain(fingerprint(key));
    expect(await loadKnownHosts([file])).toEqual([]);
  });
});

describe('loadKnownHosts', () => {
  it('reads all files, missing ones as empty', async () => {
    const directory = await makeTemporaryDirectory();
    await writeTree(directory, { one: line('a', 'x'), two: line('b', 'y') });
    const hosts = await loadKnownHosts(['one', 'missing', 'two'].map((name) => join(directory, name)));
    expect(hosts.map(({ names }) => names)).toEqual(['a', 'b']);
  });
});

const blobOf = (type: string) => Buffer.from(`\0\0\0${String.fromCharCode(type.length)}${type}rest`).toString('base64');

describe('preferredKeyAlgorithms', () => {
  it('asks for what can be compared, RSA with its newer signatures', () => {
    const known = parseKnownHosts(
      ['ssh-rsa', 'ssh-ed25519', 'ssh-dss', 'sk-ssh-ed25519@openssh.com']
        .map((type) => `login.example.org ${type} ${blobOf(type)}\n`)
        .join(''),
    );
    expect(preferredKeyAlgorithms(known, settings())).toEqual([
      'rsa-sha2-512',
      'rsa-sha2-256',
      'ssh-rsa',
      'ssh-ed25519',
    ]);
  });
});
