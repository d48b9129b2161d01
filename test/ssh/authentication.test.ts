import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { AuthenticationType } from 'ssh2';
import { describe, expect, it } from 'vitest';
import { Authentication } from '../../src/ssh/authentication.js';
import { noPrompter } from '../../src/ssh/prompter.js';
import type { HostSettings } from '../../src/ssh/ssh-config.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const settings = (changes: Partial<HostSettings> = {}): HostSettings => ({
  alias: 'claix',
  host: 'login.example.org',
  port: 22,
  user: 'ada',
  identityFiles: [],
  identitiesOnly: false,
  agentSocket: undefined,
  knownHostsFiles: [],
  jumps: [],
  ...changes,
});

/** Answers questions from a list, the last answer again and again. */
const answering = (...answers: string[]) => {
  const asked: { question: string; secret: boolean }[] = [];
  return {
    asked,
    tell: () => undefined,
    ask: (question: string, { secret }: { secret: boolean }) => {
      asked.push({ question, secret });
      return Promise.resolve(answers[Math.min(asked.length, answers.length) - 1] ?? '');
    },
  };
};

const fail = (error: unknown): never => {
  throw error;
};

const typeOf = (attempt: Awaited<ReturnType<Authentication['next']>>) => (attempt === false ? false : attempt.type);

const makeKeyFile = async (passphrase: string) => {
  const file = join(await makeTemporaryDirectory(), 'id');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', passphrase, '-f', file]);
  return file;
};

describe('Authentication', () => {
  it('asks the server what it accepts, then for the password, three times at most', async () => {
    const prompter = answering('secret');
    const authentication = new Authentication(settings(), prompter, fail);
    expect(typeOf(await authentication.next(null, false))).toBe('none');
    for (let attempt = 0; attempt < 3; attempt += 1) {
      expect(await authentication.next(['password'], false)).toEqual({
        type: 'password',
        username: 'ada',
        password: 'secret',
      });
    }
    expect(await authentication.next(['password'], false)).toBe(false);
    expect(prompter.asked).toHaveLength(3);
    expect(prompter.asked[0]).toEqual({ question: "ada@claix's password: ", secret: true });
  });

  it('offers keys first and passes over files that are missing', async () => {
    const file = await makeKeyFile('');
    const authentication = new Authentication(
      settings({ identityFiles: [`${file}.missing`, file] }),
      answering(''),
      fail,
    );
    expect(typeOf(await authentication.next(null, false))).toBe('publickey');
    expect(typeOf(await authentication.next(['publickey', 'keyboard-interactive'], false))).toBe(
      'keyboard-interactive',
    );
    expect(authentication.tried).toEqual([file, 'keyboard-interactive']);
  });

  it('offers no key to a server that takes none', async () => {
    const file = await makeKeyFile('');
    const authentication = new Authentication(settings({ identityFiles: [file, file] }), answering('secret'), fail);
    expect(typeOf(await authentication.next(null, false))).toBe('publickey');
    expect(typeOf(await authentication.next(['password'], false))).toBe('password');
  });

  it('asks for a passphrase again until it is right', async () => {
    const file = await makeKeyFile('right');
    const prompter = answering('wrong', 'right');
    const authentication = new Authentication(settings({ identityFiles: [file] }), prompter, fail);
    expect(typeOf(await authentication.next(null, false))).toBe('publickey');
    expect(prompter.asked).toEqual([
      { question: `Enter passphrase for key '${file}': `, secret: true },
      { question: `Enter passphrase for key '${file}': `, secret: true },
    ]);
  });

  it('leaves out a key whose passphrase is not given', async () => {
    const file = await makeKeyFile('right');
    const authentication = new Authentication(settings({ identityFiles: [file] }), answering('wrong'), fail);
    expect(typeOf(await authentication.next(null, false))).toBe('none');
    expect(authentication.tried).toEqual([]);
  });

  it.each<[string, AuthenticationType[]]>([
    ['password, then a code', ['password', 'keyboard-interactive', 'password']],
    ['a code, then a password', ['keyboard-interactive', 'password']],
  ])('follows a server that wants a key, then %s', async (_, wanted) => {
    const file = await makeKeyFile('');
    const authentication = new Authentication(settings({ identityFiles: [file] }), answering('x'), fail);
    expect(typeOf(await authentication.next(null, false))).toBe('publickey');
    for (const method of wanted) expect(typeOf(await authentication.next([method], true))).toBe(method);
  });

  it('goes on without a key whose passphrase nobody can be asked for', async () => {
    const [locked, open] = [await makeKeyFile('secret'), await makeKeyFile('')];
    const authentication = new Authentication(settings({ identityFiles: [locked, open] }), noPrompter, fail);
    expect(typeOf(await authentication.next(null, false))).toBe('publickey');
    expect(authentication.tried).toEqual([expect.stringContaining(locked), open]);
  });

  it('gives up at the first question that nobody can answer', async () => {
    const given: unknown[] = [];
    const authentication = new Authentication(settings(), noPrompter, (error) => given.push(error));
    await authentication.next(null, false);
    const attempt = await authentication.next(['keyboard-interactive'], false);
    if (attempt === false || attempt.type !== 'keyboard-interactive') throw new Error('expected a question');
    let answers: string[] | undefined;
    attempt.prompt('', '', '', [{ prompt: 'Code: ', echo: false }], (sent) => (answers = sent));
    await expect.poll(() => given).toMatchObject([{ code: 'INPUT_NEEDED' }]);
    expect(answers).toBeUndefined();
  });

  it('does not ask an agent that is not there', async () => {
    const authentication = new Authentication(settings({ agentSocket: '/nonexistent/agent' }), answering(''), fail);
    expect(typeOf(await authentication.next(null, false))).toBe('none');
  });
});
