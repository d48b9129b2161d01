import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HpcrunError } from '../../src/errors.js';
import type { Prompter } from '../../src/ssh/prompter.js';
import { openConnection } from '../../src/ssh/open-connection.js';
import { loginContainer, makeProject, onLogin, sandboxCluster } from './lab.js';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const signal = new AbortController().signal;
const password = 'correct horse';

/** Gives the same answer to every question and keeps the questions. */
function answering(answer: string): Prompter & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    tell: () => undefined,
    ask: (question) => {
      asked.push(question);
      return Promise.resolve(answer);
    },
  };
}

/** An sshd of its own in the login container, with other rules than the sandbox's. */
const strictPort = 2022;
/** Another one, which asks for the same password in two ways, and hangs up after so many wrong answers. */
const tiredPort = 2023;
let strictHost = '';
let strictKnownHosts = '';
let tiredKnownHosts = '';

beforeAll(async () => {
  await onLogin(`echo 'researcher:${password}' | chpasswd`, 'root');
  await onLogin(
    `/usr/sbin/sshd -p ${strictPort} -o PidFile=/run/sshd-strict.pid -o AuthenticationMethods=publickey,password`,
    'root',
  );
  await onLogin(
    `/usr/sbin/sshd -p ${tiredPort} -o PidFile=/run/sshd-tired.pid -o KbdInteractiveAuthentication=yes -o MaxAuthTries=4`,
    'root',
  );
  const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
  strictHost = (await execa('docker', ['inspect', '--format', format, loginContainer])).stdout;
  const { knownHostsFile } = await sandboxCluster();
  const keys = (await readFile(knownHostsFile, 'utf8')).replace(/^\S+/gm, `[${strictHost}]:${strictPort}`);
  strictKnownHosts = join(await makeProject({}), 'known_hosts');
  await writeFile(strictKnownHosts, keys);
  tiredKnownHosts = `${strictKnownHosts}-tired`;
  await writeFile(tiredKnownHosts, keys.replaceAll(`:${strictPort}`, `:${tiredPort}`));
});

afterAll(async () => {
  await onLogin("kill $(cat /run/sshd-strict.pid /run/sshd-tired.pid); usermod --password '*' researcher", 'root');
});

async function logIn(prompter: Prompter, changes: Record<string, unknown> = {}): Promise<string> {
  const { port, knownHostsFile } = await sandboxCluster();
  const overrides = { host: '127.0.0.1', user: 'researcher', port, knownHostsFile, isolated: true, ...changes };
  const connection = await openConnection(overrides, { env: {}, prompter, signal });
  const { stdout } = await connection.run('id -un', { signal });
  connection.close();
  return stdout.toString();
}

describe('a login that asks', () => {
  it('takes a password', async () => {
    const prompter = answering(password);
    expect(await logIn(prompter)).toBe('researcher\n');
    expect(prompter.asked).toEqual(["researcher@127.0.0.1's password: "]);
  });

  it('asks three times for one that is wrong, and never shows it', async () => {
    const prompter = answering('wrong-secret');
    const error = await logIn(prompter).then(
      () => undefined,
      (reason: unknown) => reason as HpcrunError,
    );
    expect(error).toMatchObject({ code: 'LOGIN_FAILED' });
    expect(`${error?.message ?? ''} ${error?.hint ?? ''}`).not.toContain('wrong-secret');
    expect(prompter.asked).toHaveLength(3);
  });

  it('says that the answers were wrong also where the server has had enough of them', async () => {
    const prompter = answering('wrong-secret');
    const tired = { host: strictHost, port: tiredPort, knownHostsFile: tiredKnownHosts };
    await expect(logIn(prompter, tired)).rejects.toMatchObject({
      code: 'LOGIN_FAILED',
      message: expect.stringMatching(
        /tried: keyboard-interactive, keyboard-interactive, keyboard-interactive/,
      ) as string,
    });
  });

  it('gives a key and then a password where the server wants both', async () => {
    const { identityFile } = await sandboxCluster();
    const strict = { host: strictHost, port: strictPort, knownHostsFile: strictKnownHosts };
    const prompter = answering(password);
    expect(await logIn(prompter, { ...strict, identityFile })).toBe('researcher\n');
    expect(prompter.asked).toHaveLength(1);
    await expect(logIn(answering(password), strict)).rejects.toMatchObject({ code: 'LOGIN_FAILED' });
  });
});
