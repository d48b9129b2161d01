import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import {
  checkHostKey,
  fingerprint,
  hostKeyType,
  knownHostName,
  knownKeyTypes,
  makeSalt,
  parseKnownHosts,
  renderKnownHost,
  type HostKeyVerdict,
} from '../../src/ssh/known-hosts.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

// The first strings of fast-check take seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

/** A key blob as in RFC 4253, 6.6: the type's name, then bytes that stand for the rest. */
const makeKey = (type: string, rest: string): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(type.length);
  return Buffer.concat([length, Buffer.from(type), Buffer.from(rest)]);
};

const key = makeKey('ssh-ed25519', 'the key');
const otherKey = makeKey('ssh-ed25519', 'another key');
const shown = `ssh-ed25519 ${key.toString('base64')}`;
const otherShown = `ssh-ed25519 ${otherKey.toString('base64')}`;

const check = (text: string, host: string, port = 22, offered = key) =>
  checkHostKey(parseKnownHosts(text, '/known_hosts'), knownHostName(host, port), offered).type;

describe('checkHostKey', () => {
  it.each<[string, string, number, HostKeyVerdict['type']]>([
    [`login.example.org ${shown}`, 'login.example.org', 22, 'known'],
    [`login.example.org ${shown}`, 'LOGIN.Example.org', 22, 'known'],
    [`Login.Example.ORG ${shown}`, 'login.example.org', 22, 'known'],
    [`login.example.org,10.0.0.1 ${shown} a comment`, '10.0.0.1', 22, 'known'],
    [`  login.example.org\t${shown}  \r`, 'login.example.org', 22, 'known'],
    [`login.example.org ${shown}`, 'login2.example.org', 22, 'unknown'],
    [`login.example.org ${shown}`, 'loginXexample.org', 22, 'unknown'],
    [`# login.example.org ${shown}`, 'login.example.org', 22, 'unknown'],
    ['', 'login.example.org', 22, 'unknown'],
    // ports
    [`[login.example.org]:2222 ${shown}`, 'login.example.org', 2222, 'known'],
    [`[login.example.org]:2222 ${shown}`, 'login.example.org', 22, 'unknown'],
    // as in OpenSSH, a key of the host's port 22 is good elsewhere, but another one is no change
    [`login.example.org ${shown}`, 'login.example.org', 2222, 'known'],
    [`login.example.org ${otherShown}`, 'login.example.org', 2222, 'unknown'],
    [`@revoked login.example.org ${shown}`, 'login.example.org', 2222, 'revoked'],
    [`[login.example.org]:2222 ${otherShown}`, 'login.example.org', 2222, 'changed'],
    // known by a key of another type only
    [`login.example.org ssh-rsa ${makeKey('ssh-rsa', 'x').toString('base64')}`, 'login.example.org', 22, 'changed'],
    // SSH-1, and a type that is not the key's
    ['login.example.org 1024 35 1234567890', 'login.example.org', 22, 'unknown'],
    [`login.example.org ssh-rsa ${otherShown.split(' ')[1] ?? ''}`, 'login.example.org', 22, 'unknown'],
    // wildcards and negation
    [`*.example.org ${shown}`, 'login.example.org', 22, 'known'],
    [`*.example.org ${shown}`, 'example.org', 22, 'unknown'],
    [`login?.example.org ${shown}`, 'login1.example.org', 22, 'known'],
    [`login?.example.org ${shown}`, 'login.example.org', 22, 'unknown'],
    [`[*.example.org]:2222 ${shown}`, 'login.example.org', 2222, 'known'],
    [`*.example.org,!login.example.org ${shown}`, 'login.example.org', 22, 'unknown'],
    [`!login.example.org,*.example.org ${shown}`, 'login.example.org', 22, 'unknown'],
    [`!login.example.org,*.example.org ${shown}`, 'login2.example.org', 22, 'known'],
    [`!login.example.org ${shown}`, 'login2.example.org', 22, 'unknown'],
    [`*login*.org ${shown}`, 'login.example.org', 22, 'known'],
    [`l*n.*e.o*g* ${shown}`, 'login.example.org', 22, 'known'],
    [`*.example ${shown}`, 'login.example.org', 22, 'unknown'],
    // changed, also beside a right one
    [`login.example.org ${otherShown}`, 'login.example.org', 22, 'changed'],
    [`*.example.org ${otherShown}`, 'login.example.org', 22, 'changed'],
    [`login.example.org ${otherShown}\nlogin.example.org ${shown}`, 'login.example.org', 22, 'known'],
    // markers
    [`@revoked login.example.org ${shown}`, 'login.example.org', 22, 'revoked'],
    [`login.example.org ${shown}\n@revoked * ${shown}`, 'login.example.org', 22, 'revoked'],
    [`login.example.org ${shown}\n@revoked * ${otherShown}`, 'login.example.org', 22, 'known'],
    [`@revoked other.example.org ${shown}`, 'login.example.org', 22, 'unknown'],
    [`@cert-authority *.example.org ${shown}`, 'login.example.org', 22, 'unknown'],
    [`@unheard-of login.example.org ${shown}`, 'login.example.org', 22, 'unknown'],
    // malformed
    ['login.example.org', 'login.example.org', 22, 'unknown'],
    ['login.example.org ssh-ed25519', 'login.example.org', 22, 'unknown'],
    [`|1|broken ${shown}`, 'login.example.org', 22, 'unknown'],
  ])('%s: %s port %d is %s', (text, host, port, verdict) => {
    expect(check(text, host, port)).toBe(verdict);
  });

  it('finds the names that ssh-keygen has hashed', async () => {
    const directory = await makeTemporaryDirectory();
    const file = join(directory, 'known_hosts');
    const keyFile = join(directory, 'host');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', keyFile]);
    const [type = '', base64 = ''] = (await readFile(`${keyFile}.pub`, 'utf8')).split(' ');
    await writeFile(file, `login.example.org ${type} ${base64}\n[login.example.org]:2222 ${type} ${base64}\n`);
    execFileSync('ssh-keygen', ['-q', '-H', '-f', file], { stdio: 'ignore' });
    const text = await readFile(file, 'utf8');
    expect(text).not.toContain('example');

    const blob = Buffer.from(base64, 'base64');
    expect(check(text, 'login.example.org', 22, blob)).toBe('known');
    expect(check(text, 'Login.example.org', 2222, blob)).toBe('known');
    expect(check(text, 'login.example.org', 22)).toBe('changed');
    expect(check(text, 'login.example.org', 2200, blob)).toBe('known');
    expect(check(text, 'other.example.org', 22, blob)).toBe('unknown');
  });

  it('prints fingerprints and types as ssh-keygen does', async () => {
    const file = join(await makeTemporaryDirectory(), 'host');
    execFileSync('ssh-keygen', ['-q', '-t', 'ecdsa', '-N', '', '-f', file]);
    const [type, base64 = ''] = (await readFile(`${file}.pub`, 'utf8')).split(' ');
    const blob = Buffer.from(base64, 'base64');
    expect(hostKeyType(blob)).toBe(type);
    const said = execFileSync('ssh-keygen', ['-l', '-f', `${file}.pub`], { encoding: 'utf8' });
    expect(said.split(' ')[1]).toBe(fingerprint(blob));
  });

  it('knows what it has written', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9.-]{0,30}$/);
    fc.assert(
      fc.property(name, fc.integer({ min: 1, max: 65_535 }), fc.string(), fc.boolean(), (host, port, rest, hashed) => {
        const salt = hashed ? makeSalt() : undefined;
        const offered = makeKey('ssh-ed25519', rest);
        const line = renderKnownHost(knownHostName(host, port), offered, salt);
        expect(line.endsWith('\n')).toBe(true);
        expect(check(`${line}# end\n`, host, port, offered)).toBe('known');
        expect(check(line, host, port, makeKey('ssh-ed25519', `${rest}x`))).toBe('changed');
        expect(check(line, `${host}x`, port, offered)).toBe('unknown');
      }),
    );
  });
});

describe('parseKnownHosts', () => {
  it('survives any text and takes nothing from it that is not there', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        '\n',
        ' ',
        '\t',
        '|1|',
        '@revoked ',
        '@cert-authority ',
        '!',
        '*',
        '[',
        ']:',
        ',',
        '\\',
        '(',
        shown,
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const text = pieces.join('');
        const entries = parseKnownHosts(text, '/known_hosts');
        for (const { names, keyType, key: base64 } of entries) {
          expect(text).toContain(names);
          expect(text).toContain(keyType);
          expect(text).toContain(base64);
        }
        expect(['known', 'unknown', 'changed', 'revoked']).toContain(checkHostKey(entries, 'host', key).type);
      }),
    );
  });

  it('still finds a good line after any bad ones', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (noise) => {
        const bad = noise.replaceAll('@revoked', '');
        expect(check(`# ${bad.replaceAll(/[\r\n]/g, '')}\nlogin.example.org ${shown}`, 'login.example.org')).toBe(
          'known',
        );
      }),
    );
  });
});

describe('a pattern', () => {
  it('of any kind is decided about at once', () => {
    const pattern = `${'*a'.repeat(2000)}*b`;
    expect(check(`${pattern} ${shown}`, 'a'.repeat(4000))).toBe('unknown');
  });

  it('matches as a regular expression of the same meaning does', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.'), minLength: 1, maxLength: 8 });
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(pattern, letters, (wanted, host) => {
        const meaning = new RegExp(`^${wanted.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.')}$`);
        expect(check(`${wanted} ${shown}`, host)).toBe(meaning.test(host) ? 'known' : 'unknown');
      }),
    );
  });
});

describe('knownKeyTypes', () => {
  it('lists each type of the host once, without markers and other hosts', () => {
    const text = [
      `a ${shown}`,
      `a ${otherShown}`,
      `a ssh-rsa ${makeKey('ssh-rsa', 'x').toString('base64')}`,
      `@revoked a ecdsa-sha2-nistp256 ${makeKey('ecdsa-sha2-nistp256', 'x').toString('base64')}`,
      `b ssh-dss ${makeKey('ssh-dss', 'x').toString('base64')}`,
    ].join('\n');
    expect(knownKeyTypes(parseKnownHosts(text, '/k'), 'a')).toEqual(['ssh-ed25519', 'ssh-rsa']);
    expect(knownKeyTypes(parseKnownHosts(text, '/k'), '[a]:2222')).toEqual([]);
  });
});

describe('knownHostName', () => {
  it.each([
    ['Host', 22, 'host'],
    ['Host', 2222, '[host]:2222'],
    ['::1', 22, '::1'],
  ])('%s port %d is %s', (host, port, expected) => {
    expect(knownHostName(host, port)).toBe(expected);
  });
});

describe('hostKeyType', () => {
  it('survives any bytes', () => {
    expect(hostKeyType(Buffer.alloc(0))).toBe('');
    expect(hostKeyType(Buffer.from([255, 255, 255, 255, 65]))).toBe('A');
  });
});
