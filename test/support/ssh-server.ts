import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import ssh2, { type AuthContext, type AuthenticationType, type Connection, type KeyboardAuthContext } from 'ssh2';
import { onTestFinished } from 'vitest';
import { makeTemporaryDirectory } from './temporary-directory.js';

/** Makes a key with ssh-keygen and returns its path; the public part is beside it. */
export async function makeKey(options: { passphrase?: string; type?: string; format?: string } = {}): Promise<string> {
  const { passphrase = '', type = 'ed25519', format } = options;
  const file = join(await makeTemporaryDirectory(), 'id');
  const formatOptions = format === undefined ? [] : ['-m', format];
  // As little work as ssh-keygen allows.
  const cheap = ['-a', '1', ...(type === 'rsa' ? ['-b', '2048'] : [])];
  execFileSync('ssh-keygen', ['-q', '-t', type, ...cheap, ...formatOptions, '-N', passphrase, '-C', '', '-f', file]);
  return file;
}

export interface TestServer {
  port: number;
  /** The known_hosts line's type and key. */
  hostKey: string;
  hangUp(): void;
}

interface TestServerOptions {
  banner?: string;
  hostKeyType?: string;
  otherHostKeyTypes?: string[];
}

/**
 * An SSH server on this machine that decides about logins as a test says.
 * @param decide makes what decides about the requests of one connection
 */
export async function startSshServer(
  decide: () => (context: AuthContext) => void,
  { hostKeyType = 'ed25519', otherHostKeyTypes = [], ...options }: TestServerOptions = {},
): Promise<TestServer> {
  const file = await makeKey({ type: hostKeyType });
  const files = [file, ...(await Promise.all(otherHostKeyTypes.map((type) => makeKey({ type }))))];
  const hostKeys = await Promise.all(files.map((path) => readFile(path)));
  const clients = new Set<Connection>();
  const server = new ssh2.Server({ hostKeys, ...options }, (client) => {
    clients.add(client);
    client.on('authentication', decide());
    client.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const hostKey = (await readFile(`${file}.pub`, 'utf8')).trim();
  const hangUp = () => {
    for (const client of clients) client.end();
  };
  return { port: (server.address() as AddressInfo).port, hostKey, hangUp };
}

export const rightPassword = 'correct horse';
export const rightCode = '314159';

/** Asks for a code; another answer than the right one is refused. */
export function askForCode(context: KeyboardAuthContext, pass: () => void, refuse: () => void): void {
  context.prompt([{ prompt: 'Verification code: ', echo: false }], ([code]) => {
    if (code === rightCode) pass();
    else refuse();
  });
}

/**
 * Wants these methods one after the other: any key that is proved, the right password, the right code.
 * @param requests filled with what is asked for
 */
export function wanting(stages: AuthenticationType[], requests: string[] = []): () => (context: AuthContext) => void {
  return () => {
    let stage = 0;
    return (context) => {
      const wanted = stages[stage];
      const refuse = () => {
        context.reject(wanted === undefined ? [] : [wanted]);
      };
      const pass = () => {
        stage += 1;
        const next = stages[stage];
        if (next === undefined) context.accept();
        else context.reject([next], true);
      };
      requests.push(context.method === 'publickey' && !context.signature ? 'publickey?' : context.method);
      if (context.method !== wanted) refuse();
      else if (context.method === 'publickey') {
        if (context.signature) pass();
        else context.accept();
      } else if (context.method === 'password') {
        if (context.password === rightPassword) pass();
        else refuse();
      } else if (context.method === 'keyboard-interactive') askForCode(context, pass, refuse);
      else refuse();
    };
  };
}
