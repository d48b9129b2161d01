import fc from 'fast-check';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { HpcrunError } from '../../src/errors.js';
import { loadKnownHosts, hostKeyAlgorithms, verifyHostKey } from '../../src/ssh/host-key.js';
import { fingerprint, parseKnownHosts, type KnownHost } from '../../src/ssh/known-hosts.js';
import type { Prompter } from '../../src/ssh/prompter.js';
import type { HostSettings } from '../../src/ssh/ssh-config.js';
import { hostSettings } from '../support/host-settings.js';
import { failureOf } from '../support/failure.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

// Each case of a property writes a file.
vi.setConfig({ testTimeout: 60_000 });

const makeKey = (rest: string) => Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from(`ssh-ed25519${rest}`)]);
const key = makeKey('the key');
const line = (host: string, rest: string) => `${host} ssh-ed25519 ${makeKey(rest).toString('base64')}\n`;

const settings = (...knownHostsFiles: string[]): HostSettings => hostSettings({ knownHostsFiles });
const verify = (known: KnownHost[], host: HostSettings, prompter: Prompter) =>
  verifyHostKey({ key, address: '192.0.2.7' }, known, host, prompter);

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
    const known = parseKnownHosts(line('login.example.org', 'the key'), '/k');
    await expect(verify(known, settings(), unasked)).resolves.toBeUndefined();
  });

  it.each([
    ['HOST_KEY_CHANGED', line('login.example.org', 'another key')],
    ['HOST_KEY_REVOKED', `@revoked ${line('*', 'the key')}`],
  ])('refuses with %s and without a question', async (code, text) => {
    const error = await failureOf(() => verify(parseKnownHosts(text, '/k'), settings('/k'), unasked));
    expect(error.code).toBe(code);
    expect(error.message).toContain(fingerprint(key));
  });

  it.each(['yes', ' YES \n', fingerprint(key)])('stores an unknown key after the answer %j', async (answer) => {
    const directory = await makeTemporaryDirectory();
    const file = join(directory, 'new', 'known_hosts');
    const prompter = answering(answer);
    await verify([], settings(file, join(directory, 'global')), prompter);
    expect(prompter.told.join('\n')).toContain(fingerprint(key));
    expect(await readFile(file, 'utf8')).toBe(line('login.example.org', 'the key'));
    await expect(verify(await loadKnownHosts([file]), settings(), unasked)).resolves.toBeUndefined();
  });

  it.each(['no', '', 'y', 'SHA256:wrong', undefined])('does not store it after the answer %j', async (answer) => {
    const file = join(await makeTemporaryDirectory(), 'known_hosts');
    const error = await failureOf(() => verify([], settings(file), answering(answer)));
    expect(error.code).toBe('HOST_KEY_UNKNOWN');
    expect(error.message).toContain(fingerprint(key));
    expect(await loadKnownHosts([file])).toEqual([]);
  });

  it('names the line of the old key, and how OpenSSH removes it', async () => {
    const directory = await makeTemporaryDirectory();
    const file = join(directory, 'known_hosts');
    await writeTree(directory, { known_hosts: `# mine\n${line('[login.example.org]:2222', 'another key')}` });
    const host = { ...settings(file), port: 2222 };
    const error = await failureOf(async () => {
      await verify(await loadKnownHosts([file]), host, unasked);
    });
    expect(error.message).toContain(`ssh-ed25519 in ${file}:2`);
    expect(error.hint).toContain(`ssh-keygen -f '${file}' -R '[login.example.org]:2222'`);
  });

  it('looks a host up by its HostKeyAlias alone', async () => {
    const known = parseKnownHosts(`${line('cluster', 'the key')}${line('login.example.org', 'another key')}`, '/k');
    await verify(known, { ...settings(), hostKeyAlias: 'Cluster', port: 2222, checkHostAddress: true }, unasked);
  });

  it('hides the name of a stored key where HashKnownHosts says so, on a line of its own', async () => {
    const directory = await makeTemporaryDirectory();
    const file = join(directory, 'known_hosts');
    const last = line('other.example.org', 'x').trimEnd();
    await writeTree(directory, { known_hosts: last });
    await verify([], { ...settings(file), hashKnownHosts: true }, answering('yes'));
    const [first, second] = (await readFile(file, 'utf8')).split('\n');
    expect(first).toBe(last);
    expect(second).toMatch(/^\|1\|\S+=\|\S+= ssh-ed25519 /);
    await verify(await loadKnownHosts([file]), settings(), unasked);
  });

  it('never asks where StrictHostKeyChecking is yes, and never before storing where it is accept-new', async () => {
    const file = join(await makeTemporaryDirectory(), 'known_hosts');
    const strict = { ...settings(file), unknownHostKeys: 'refuse' } as const;
    expect((await failureOf(() => verify([], strict, unasked))).code).toBe('HOST_KEY_UNKNOWN');
    const lenient = { ...settings(file), unknownHostKeys: 'accept' } as const;
    await verify([], lenient, unasked);
    const known = await loadKnownHosts([file]);
    expect(known).toHaveLength(1);
    const changed = parseKnownHosts(line('login.example.org', 'another key'), file);
    expect((await failureOf(() => verify(changed, lenient, unasked))).code).toBe('HOST_KEY_CHANGED');
  });

  it('refuses a host that is trusted through a certificate authority, and says why', async () => {
    const known = parseKnownHosts(`@cert-authority ${line('*.example.org', 'the authority')}`, '/k');
    const error = await failureOf(() => verify(known, settings(), unasked));
    expect(error.code).toBe('HOST_KEY_UNKNOWN');
    expect(error.message).toContain('@cert-authority in /k:1');
    expect(error.hint).toContain('transport: openssh');
    // A key that is known itself needs no certificate.
    await verify([...known, ...parseKnownHosts(line('login.example.org', 'the key'), '/k')], settings(), unasked);
  });

  it('asks where the host is known by kinds of keys only that ssh2 does not know', async () => {
    const known = parseKnownHosts(`login.example.org ssh-dss ${blobOf('ssh-dss')}`, '/k');
    await verify(known, settings(), answering('yes'));
    expect((await failureOf(() => verify(known, settings(), answering('no')))).code).toBe('HOST_KEY_UNKNOWN');
  });

  it('compares the address, too, where CheckHostIP is set', async () => {
    const known = parseKnownHosts(`${line('login.example.org', 'the key')}${line('192.0.2.7', 'another key')}`, '/k');
    await verify(known, settings(), unasked);
    const error = await failureOf(() => verify(known, { ...settings(), checkHostAddress: true }, unasked));
    expect(error.code).toBe('HOST_KEY_CHANGED');
    expect(error.message).toContain('192.0.2.7');
  });

  it('obeys RevokedHostKeys, and refuses a list that it cannot read', async () => {
    const directory = await makeTemporaryDirectory();
    const known = parseKnownHosts(line('login.example.org', 'the key'), '/k');
    await writeTree(directory, {
      other: `ssh-ed25519 ${makeKey('another key').toString('base64')}\n`,
      this: `# gone\nssh-ed25519 ${key.toString('base64')} old\n`,
      binary: 'SSHKRL\n\0\0\0\0\u0001',
    });
    const codeWith = async (...names: string[]) => {
      const revokedHostKeysFiles = names.map((name) => join(directory, name));
      return (await failureOf(() => verify(known, { ...settings(), revokedHostKeysFiles }, unasked))).code;
    };
    await verify(known, { ...settings(), revokedHostKeysFiles: [join(directory, 'other')] }, unasked);
    expect(await codeWith('other', 'this')).toBe('HOST_KEY_REVOKED');
    expect(await codeWith('binary')).toBe('CONNECTION_FAILED');
    expect(await codeWith('missing')).toBe('CONNECTION_FAILED');
  });
});

describe('loadKnownHosts', () => {
  it('survives any file, and finds a line of its own after it', async () => {
    const file = join(await makeTemporaryDirectory(), 'known_hosts');
    const own = line('login.example.org', 'the key');
    // One that revokes the key, or knows the host by another one, would be right about it.
    const harmless = fc.uint8Array({ maxLength: 300 }).filter((bytes) => !bytes.includes('@'.charCodeAt(0)));
    await fc.assert(
      fc.asyncProperty(harmless, async (bytes) => {
        await writeFile(file, Buffer.concat([bytes, Buffer.from(`\n${own}`)]));
        const known = await loadKnownHosts([file]);
        await verify(known, settings(file), unasked);
        expect(known.at(-1)).toMatchObject({ names: 'login.example.org', keyType: 'ssh-ed25519' });
      }),
    );
  });

  it('reads all files, missing ones as empty', async () => {
    const directory = await makeTemporaryDirectory();
    await writeTree(directory, { one: line('a', 'x'), two: line('b', 'y') });
    const hosts = await loadKnownHosts(['one', 'missing', 'two'].map((name) => join(directory, name)));
    expect(hosts.map(({ names }) => names)).toEqual(['a', 'b']);
  });
});

const blobOf = (type: string) => Buffer.from(`\0\0\0${String.fromCharCode(type.length)}${type}rest`).toString('base64');

describe('hostKeyAlgorithms', () => {
  const algorithmsFor = (...types: string[]) => {
    const text = types.map((type) => `login.example.org ${type} ${blobOf(type)}\n`).join('');
    return hostKeyAlgorithms(parseKnownHosts(text, '/k'), settings());
  };

  it('asks first for what can be compared, RSA with its newer signatures', () => {
    expect(algorithmsFor('ssh-rsa', 'ecdsa-sha2-nistp521', 'ssh-dss', 'sk-ssh-ed25519@openssh.com')).toEqual([
      'ecdsa-sha2-nistp521',
      'rsa-sha2-512',
      'rsa-sha2-256',
      'ssh-rsa',
      'ssh-ed25519',
      'ecdsa-sha2-nistp256',
      'ecdsa-sha2-nistp384',
    ]);
  });

  it('asks an unknown host for what OpenSSH likes best', () => {
    expect(algorithmsFor()[0]).toBe('ssh-ed25519');
  });

  it('looks known types up by the HostKeyAlias', () => {
    const known = parseKnownHosts(`[cluster]:22 ssh-rsa ${blobOf('ssh-rsa')}\n`, '/k');
    const host = { ...settings(), port: 2222, hostKeyAlias: '[Cluster]:22' };
    expect(hostKeyAlgorithms(known, host)[0]).toBe('rsa-sha2-512');
    expect(hostKeyAlgorithms(known, settings())[0]).toBe('ssh-ed25519');
  });
});
