import { execFileSync, spawn } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuthContext, AuthenticationType, Prompt } from 'ssh2';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { KeyRing } from '../../src/ssh/key-ring.js';
import { login, openSocket, type OpenOptions } from '../../src/ssh/login.js';
import { noPrompter, type Prompter } from '../../src/ssh/prompter.js';
import type { HostSettings } from '../../src/ssh/ssh-config.js';
import { answering } from '../support/answering.js';
import { failureOf } from '../support/failure.js';
import { hostSettings } from '../support/host-settings.js';
import { makeKey, rightCode, rightPassword, startSshServer, wanting, type TestServer } from '../support/ssh-server.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

// Keys are made and opened, which takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const { signal } = new AbortController();

async function logIn(
  { port, hostKey }: TestServer,
  prompter: Prompter,
  changes: Partial<HostSettings> = {},
  options: Partial<OpenOptions> = {},
): Promise<void> {
  const file = join(await makeTemporaryDirectory(), 'known_hosts');
  await writeFile(file, `[127.0.0.1]:${port} ${hostKey}\n`);
  const settings = hostSettings({ host: '127.0.0.1', port, knownHostsFiles: [file], ...changes });
  const client = await login(settings, await openSocket(settings, undefined, signal), {
    env: {},
    prompter,
    signal,
    ...options,
  });
  client.end();
}

/** Asks these questions, or tells these texts, and lets everybody in who has answered. */
const asking =
  (rounds: { title?: string; text?: string; prompts: (string | Prompt)[] }[], answers: string[][] = []) =>
  () =>
  (context: AuthContext) => {
    if (context.method !== 'keyboard-interactive') {
      context.reject(['keyboard-interactive']);
      return;
    }
    const ask = (index: number) => {
      const round = rounds[index];
      if (!round) {
        context.accept();
        return;
      }
      context.prompt(round.prompts, round.title ?? '', round.text ?? '', (given) => {
        answers.push(given);
        ask(index + 1);
      });
    };
    ask(0);
  };

/** An ssh-agent with these keys. */
async function startAgent(...files: string[]): Promise<string> {
  const socket = join(await makeTemporaryDirectory(), 'agent');
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: ['ignore', 'pipe', 'ignore'] });
  onTestFinished(() => void agent.kill());
  // It says where it listens as soon as it does.
  await new Promise((resolve) => agent.stdout.once('data', resolve));
  for (const file of files) {
    execFileSync('ssh-add', ['-q', file], { env: { ...process.env, SSH_AUTH_SOCK: socket }, stdio: 'ignore' });
  }
  return socket;
}

describe('a host key', () => {
  it.each(['ed25519', 'ecdsa', 'rsa'])('of type %s is asked for where that is the one known', async (hostKeyType) => {
    const otherHostKeyTypes = ['ed25519', 'ecdsa', 'rsa'].filter((type) => type !== hostKeyType);
    const server = await startSshServer(wanting(['password']), { hostKeyType, otherHostKeyTypes });
    await logIn(server, answering(rightPassword));
  });

  it('of another type than the known one, from a server that has no other, has changed', async () => {
    const server = await startSshServer(wanting(['password']));
    const { hostKey } = await startSshServer(wanting(['password']), { hostKeyType: 'ecdsa' });
    expect((await failureOf(() => logIn({ ...server, hostKey }, answering(rightPassword)))).code).toBe(
      'HOST_KEY_CHANGED',
    );
  });
});

describe('a login', () => {
  it.each<[string, AuthenticationType[]]>([
    ['a key', ['publickey']],
    ['a password', ['password']],
    ['a code', ['keyboard-interactive']],
    ['a key, then a password', ['publickey', 'password']],
    ['a key, then a code', ['publickey', 'keyboard-interactive']],
    ['a key, then a password, then a code', ['publickey', 'password', 'keyboard-interactive']],
    ['a code, then a password, then a key', ['keyboard-interactive', 'password', 'publickey']],
    ['a password, then a key, then a code', ['password', 'publickey', 'keyboard-interactive']],
    ['two codes', ['keyboard-interactive', 'keyboard-interactive']],
  ])('gives the server %s', async (_, stages) => {
    const requests: string[] = [];
    const server = await startSshServer(wanting(stages, requests));
    const identityFiles = stages.includes('publickey') ? [await makeKey()] : [];
    const prompted = stages.filter((stage) => stage !== 'publickey');
    const prompter = answering(...prompted.map((stage) => (stage === 'password' ? rightPassword : rightCode)));
    await logIn(server, prompter, { identityFiles });
    expect(prompter.asked).toEqual(
      prompted.map((stage) => ({
        question: stage === 'password' ? "ada@claix's password: " : '(ada@claix) Verification code: ',
        secret: true,
      })),
    );
    // Nothing is asked of the server that it has not said it would take.
    expect(requests.filter((request) => request !== 'none' && request !== 'publickey?')).toEqual(stages);
  });

  it.each(['ed25519', 'rsa', 'ecdsa'])('gives a key of type %s of an agent, and a code on top', async (type) => {
    const requests: string[] = [];
    const server = await startSshServer(wanting(['publickey', 'keyboard-interactive'], requests));
    const agentSocket = await startAgent(await makeKey({ type }), await makeKey());
    await logIn(server, answering(rightCode), { agentSocket });
    expect(requests).toEqual(['publickey?', 'publickey', 'keyboard-interactive']);
  });

  it.each([
    ['password', [rightPassword], "ada@claix's password: "],
    ['keyboard-interactive', [rightCode], '(ada@claix) Verification code: '],
  ] as const)('asks again after a wrong answer, by %s', async (method, [right], question) => {
    const server = await startSshServer(wanting([method]));
    const prompter = answering('wrong', 'still wrong', right);
    await logIn(server, prompter);
    expect(prompter.asked).toEqual([1, 2, 3].map(() => ({ question, secret: true })));
    expect(prompter.told).toEqual([1, 2].map(() => 'Permission denied, please try again.'));
  });

  it.each(['password', 'keyboard-interactive'] as const)(
    'gives up after three wrong answers, by %s, and shows none of them',
    async (method) => {
      const server = await startSshServer(wanting([method]));
      const prompter = answering('a-wrong-secret');
      const error = await failureOf(() => logIn(server, prompter));
      expect(error.code).toBe('LOGIN_FAILED');
      expect(error.message).toContain(`tried: ${method}, ${method}, ${method}; the server accepts: ${method}`);
      expect(prompter.asked).toHaveLength(3);
      expect(JSON.stringify([error.message, error.hint, String(error.cause), prompter.told])).not.toContain('a-wrong');
    },
  );

  it('keeps to the order of the configuration, and leaves out what it does not name', async () => {
    const requests: string[] = [];
    const accept = () => (context: AuthContext) => {
      requests.push(context.method);
      if (context.method === 'password') context.accept();
      else context.reject(['publickey', 'keyboard-interactive', 'password']);
    };
    const server = await startSshServer(accept);
    const identityFiles = [await makeKey()];
    await logIn(server, answering('x'), { identityFiles, authenticationOrder: ['password', 'publickey'] });
    await logIn(server, answering('x'), { identityFiles, authenticationOrder: ['publickey', 'password'] });
    expect(requests).toEqual(['publickey', 'password', 'publickey', 'password']);
  });

  it('stops at the first question that nobody can answer, and repeats it', async () => {
    const server = await startSshServer(wanting(['keyboard-interactive']));
    const error = await failureOf(() => logIn(server, noPrompter));
    expect(error.code).toBe('LOGIN_FAILED');
    expect(error.message).toContain('(ada@claix) Verification code:');
    expect(error.hint).toContain('terminal');
  });

  it('that the server ends without a word after wrong answers was refused', async () => {
    let refusals = 0;
    const server = await startSshServer(() => (context) => {
      if (context.method === 'none' || ++refusals < 3) context.reject(['keyboard-interactive', 'password']);
      else server.hangUp();
    });
    const error = await failureOf(() => logIn(server, answering('wrong')));
    expect(error.code).toBe('LOGIN_FAILED');
    expect(error.message).toContain('tried: keyboard-interactive, password, password;');
  });

  it('tries keys only where nobody is there', async () => {
    const requests: string[] = [];
    const server = await startSshServer(wanting(['publickey', 'keyboard-interactive'], requests));
    const identityFiles = [await makeKey()];
    const error = await failureOf(() => logIn(server, noPrompter, { identityFiles }, { unattended: true }));
    expect(error.code).toBe('LOGIN_FAILED');
    expect(requests).toEqual(['publickey?', 'publickey']);
  });

  it('takes a question back when the server has hung up', async () => {
    const server = await startSshServer(() => (context) => {
      if (context.method !== 'keyboard-interactive') context.reject(['keyboard-interactive']);
      else context.prompt('Code: ', () => undefined);
    });
    const socket: { destroy?: () => void } = {};
    const prompter: Prompter = {
      tell: () => undefined,
      ask: (_, options) =>
        new Promise((_resolve, reject) => {
          options.signal?.addEventListener('abort', () => {
            reject(new Error('taken back'));
          });
          socket.destroy?.();
        }),
    };
    const file = join(await makeTemporaryDirectory(), 'known_hosts');
    await writeFile(file, `[127.0.0.1]:${server.port} ${server.hostKey}\n`);
    const settings = hostSettings({ host: '127.0.0.1', port: server.port, knownHostsFiles: [file] });
    const stream = await openSocket(settings, undefined, signal);
    socket.destroy = () => stream.destroy();
    const error = await failureOf(() => login(settings, stream, { env: {}, prompter, signal }));
    expect(error.message).toContain('closed the connection');
  });
});

describe('keys', () => {
  it('are passed over where the file is missing or cannot be read', async () => {
    const requests: string[] = [];
    const server = await startSshServer(wanting(['publickey'], requests));
    const file = await makeKey();
    const directory = await makeTemporaryDirectory();
    await logIn(server, noPrompter, { identityFiles: [`${file}.missing`, directory, file] });
    expect(requests).toEqual(['publickey?', 'publickey']);
  });

  it.each([undefined, 'PEM'])('are opened only if the server wants them (format %s)', async (format) => {
    const server = await startSshServer(wanting(['password']));
    const file = await makeKey({ passphrase: 'secret', type: 'rsa', ...(format === undefined ? {} : { format }) });
    const prompter = answering(rightPassword);
    await logIn(server, prompter, { identityFiles: [file] });
    expect(prompter.asked.map(({ question }) => question)).toEqual(["ada@claix's password: "]);
  });

  it.each([
    ['OpenSSH', {}],
    ['PEM', { format: 'PEM', type: 'rsa' }],
    ['PEM (ECDSA)', { format: 'PEM', type: 'ecdsa' }],
  ])('in format %s ask for the passphrase until it is right', async (_, format) => {
    const server = await startSshServer(wanting(['publickey']));
    const file = await makeKey({ passphrase: 'right', ...format });
    const prompter = answering('wrong', 'right');
    await logIn(server, prompter, { identityFiles: [file] });
    const question = `Enter passphrase for key '${file}': `;
    expect(prompter.asked).toEqual([
      { question, secret: true },
      { question, secret: true },
    ]);
  });

  it('without a public part beside them ask before they are offered', async () => {
    const server = await startSshServer(wanting(['publickey']));
    const file = await makeKey({ passphrase: 'right', format: 'PEM', type: 'rsa' });
    await rm(`${file}.pub`);
    await logIn(server, answering('right'), { identityFiles: [file] });
  });

  it('ask for their passphrase once in a process', async () => {
    const server = await startSshServer(wanting(['publickey']));
    const identityFiles = [await makeKey({ passphrase: 'right' })];
    const prompter = answering('right');
    const keys = new KeyRing();
    await logIn(server, prompter, { identityFiles }, { keys });
    await Promise.all(
      [1, 2].map(async () => {
        await logIn(server, noPrompter, { identityFiles }, { keys });
      }),
    );
    expect(prompter.asked).toHaveLength(1);
  });

  it.each([
    ['an empty passphrase', answering('')],
    ['three wrong passphrases', answering('wrong')],
    ['nobody to ask', noPrompter],
  ])('are left out after %s', async (_, prompter) => {
    const server = await startSshServer(wanting(['publickey']));
    const [locked, open] = [await makeKey({ passphrase: 'right' }), await makeKey()];
    await logIn(server, prompter, { identityFiles: [locked, open] });
  });

  it('of the agent are offered first, in the order of IdentityFile and then the others', async () => {
    const offered: string[] = [];
    const server = await startSshServer(() => (context) => {
      if (context.method === 'publickey') offered.push(context.key.data.toString('base64'));
      context.reject(['publickey']);
    });
    const [inFile, inBoth, inAgent] = [await makeKey(), await makeKey(), await makeKey()];
    const agentSocket = await startAgent(inAgent, inBoth);
    const shown = async (...files: string[]) =>
      await Promise.all(files.map(async (file) => (await readFile(`${file}.pub`, 'utf8')).split(' ')[1]?.trim()));

    const identityFiles = [inFile, inBoth];
    await failureOf(() => logIn(server, noPrompter, { agentSocket, identityFiles }));
    expect(offered.splice(0)).toEqual(await shown(inBoth, inAgent, inFile));
    await failureOf(() => logIn(server, noPrompter, { agentSocket, identityFiles, identitiesOnly: true }));
    expect(offered.splice(0)).toEqual(await shown(inBoth, inFile));
    // The private part needs not be there.
    await rm(inBoth);
    await failureOf(() => logIn(server, noPrompter, { agentSocket, identityFiles, identitiesOnly: true }));
    expect(offered.splice(0)).toEqual(await shown(inBoth, inFile));
    await failureOf(() =>
      logIn(server, noPrompter, { agentSocket, identityFiles: [`${inBoth}.pub`], identitiesOnly: true }),
    );
    expect(offered).toEqual(await shown(inBoth));
  });

  it('of an agent that is not there, or does not know SSH, are passed over', async () => {
    const server = await startSshServer(wanting(['password']));
    await logIn(server, answering(rightPassword), { agentSocket: '/nonexistent/agent' });
    const directory = await makeTemporaryDirectory();
    await logIn(server, answering(rightPassword), { agentSocket: directory });
  });
});

describe("a server's text", () => {
  it('is shown before the question, each line with its name', async () => {
    const server = await startSshServer(
      asking([{ title: 'Second factor', text: 'Open the app.\nThen answer.\n', prompts: ['Code: '] }]),
    );
    const prompter = answering('x');
    await logIn(server, prompter);
    expect(prompter.told).toEqual(['(ada@claix) Second factor', '(ada@claix) Open the app.\n(ada@claix) Then answer.']);
    expect(prompter.asked[0]?.question).toBe('(ada@claix) Code: ');
  });

  it('is shown where it wants no answer', async () => {
    const answers: string[][] = [];
    const server = await startSshServer(
      asking([{ text: 'Approve the login on your phone.', prompts: [] }, { prompts: [] }], answers),
    );
    const prompter = answering();
    await logIn(server, prompter);
    expect(prompter.told).toEqual(['(ada@claix) Approve the login on your phone.']);
    expect(prompter.asked).toEqual([]);
    expect(answers).toEqual([[], []]);
  });

  it('may leave the question to the text above it', async () => {
    const answers: string[][] = [];
    const text = 'Visit https://login.example.org/device and enter ABCD-1234.\nPress Enter when done.';
    const server = await startSshServer(asking([{ text, prompts: [{ prompt: '', echo: true }] }], answers));
    const prompter = answering('');
    await logIn(server, prompter);
    expect(prompter.told.join()).toContain('ABCD-1234');
    expect(prompter.asked).toEqual([{ question: '(ada@claix) answer, or just Enter: ', secret: false }]);
    expect(answers).toEqual([['']]);
  });

  it('may hold several questions, shown or hidden as the server says', async () => {
    const answers: string[][] = [];
    const server = await startSshServer(
      asking(
        [
          {
            prompts: [
              { prompt: 'Method (1: app, 2: token): ', echo: true },
              { prompt: 'Password: ', echo: false },
            ],
          },
          { prompts: [{ prompt: 'Code: ', echo: false }] },
        ],
        answers,
      ),
    );
    const prompter = answering('1', 'pass', '123');
    await logIn(server, prompter);
    expect(answers).toEqual([['1', 'pass'], ['123']]);
    expect(prompter.asked.map(({ secret }) => secret)).toEqual([false, true, true]);
  });

  it('is shown before the login, too, unless the configuration wants none', async () => {
    const server = await startSshServer(wanting(['password']), { banner: 'Authorized use only\r\n\u001b[2J' });
    const prompter = answering(rightPassword);
    await logIn(server, prompter);
    expect(prompter.told).toEqual(['(ada@claix) Authorized use only\n(ada@claix) \\x1b[2J']);
    const quiet = answering(rightPassword);
    await logIn(server, quiet, { showsBanner: false });
    expect(quiet.told).toEqual([]);
  });

  it('cannot be taken for a question of ours', async () => {
    const hostile = [
      "\r\u001b[2K\u001b[1AEnter passphrase for key '/home/ada/.ssh/id_ed25519': ",
      '\n\n\n\u009bHada@claix\u2028Is this the fingerprint your cluster publishes? (yes/no) ',
      `${' '.repeat(70)}Enter passphrase for key`,
      '\u202e\u0000\u0007\u0008\u007f\u0085x',
    ];
    const prompts = hostile.map((prompt) => ({ prompt, echo: false }));
    const server = await startSshServer(asking(hostile.map((text) => ({ title: text, text, prompts }))), {
      banner: hostile.join('\n'),
    });
    const prompter = answering('x');
    await logIn(server, prompter);
    expect(prompter.asked).toHaveLength(hostile.length ** 2);
    expect(prompter.told).toHaveLength(2 * hostile.length + 1);
    for (const shown of [...prompter.told, ...prompter.asked.map(({ question }) => question)]) {
      for (const line of shown.split('\n')) expect(line).toMatch(/^\(ada@claix\) [^\p{Cc}\u2028\u202e]{0,68}$/u);
    }
  });

  it('does not go on for ever', async () => {
    const endless = (context: AuthContext) => {
      if (context.method !== 'keyboard-interactive') {
        context.reject(['keyboard-interactive']);
        return;
      }
      const ask = () => {
        context.prompt([], ask);
      };
      ask();
    };
    const server = await startSshServer(() => endless);
    expect((await failureOf(() => logIn(server, answering()))).code).toBe('LOGIN_FAILED');
  });
});

describe('a password that has expired', () => {
  it('is changed, and asked for again if the two new ones differ', async () => {
    const changes: string[] = [];
    const server = await startSshServer(() => (context) => {
      if (context.method !== 'password') {
        context.reject(['password']);
        return;
      }
      context.requestChange('Your password has expired.', (newPassword) => {
        changes.push(newPassword);
        context.accept();
      });
    });
    const prompter = answering('old', 'old', 'new', 'other', 'new', 'new');
    await logIn(server, prompter);
    expect(changes).toEqual(['new']);
    expect(prompter.told).toEqual(['(ada@claix) Your password has expired.', expect.stringContaining('not the same')]);
    expect(prompter.asked.every(({ secret }) => secret)).toBe(true);
  });
});

describe('what only OpenSSH can do', () => {
  const hint = /Let the system's ssh log in: "transport: openssh"/;

  it('is named where a certificate is there', async () => {
    const server = await startSshServer(wanting(['password']));
    const [authority, file] = [await makeKey(), await makeKey()];
    execFileSync('ssh-keygen', ['-q', '-s', authority, '-I', 'ada', '-n', 'ada', `${file}.pub`]);
    const prompter = answering('wrong');
    const error = await failureOf(() => logIn(server, prompter, { identityFiles: [file] }));
    expect(error.hint).toMatch(hint);
    expect(error.hint).toContain(`the certificate ${file}-cert.pub`);
    // The user learns of it before typing anything.
    expect(prompter.told[0]).toContain('"transport: openssh"');
    expect((await failureOf(() => logIn(server, noPrompter, { identityFiles: [file] }))).hint).toMatch(hint);
    const certificateFiles = [`${file}-cert.pub`];
    expect((await failureOf(() => logIn(server, noPrompter, { certificateFiles }))).hint).toMatch(hint);
  });

  it('is named where the agent holds a certificate', async () => {
    const server = await startSshServer(wanting(['password']));
    const [authority, file] = [await makeKey(), await makeKey()];
    execFileSync('ssh-keygen', ['-q', '-s', authority, '-I', 'ada', '-n', 'ada', `${file}.pub`]);
    const agentSocket = await startAgent(file);
    await rm(file);
    const error = await failureOf(() => logIn(server, noPrompter, { agentSocket }));
    expect(error.hint).toContain("the agent's certificate");
  });

  it('is named where the key is on a security key', async () => {
    const server = await startSshServer(wanting(['publickey']));
    const directory = await makeTemporaryDirectory();
    const blob = (...fields: string[]) =>
      Buffer.concat(
        fields.map((field) => {
          const length = Buffer.alloc(4);
          length.writeUInt32BE(field.length);
          return Buffer.concat([length, Buffer.from(field)]);
        }),
      );
    const type = 'sk-ssh-ed25519@openssh.com';
    const file = join(directory, 'id_ed25519_sk');
    await writeFile(
      file,
      '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n',
    );
    await writeFile(`${file}.pub`, `${type} ${blob(type, 'x'.repeat(32), 'ssh:').toString('base64')}\n`);
    const error = await failureOf(() => logIn(server, noPrompter, { identityFiles: [file] }));
    expect(error.hint).toContain(`the security key (FIDO) ${file}`);
  });

  it('is named where the server takes nothing but Kerberos', async () => {
    const methods = ['publickey', 'gssapi-with-mic'] as AuthenticationType[];
    const server = await startSshServer(() => (context) => {
      context.reject(methods);
    });
    const error = await failureOf(async () => {
      await logIn(server, noPrompter, { identityFiles: [await makeKey()] });
    });
    expect(error.hint).toContain('Kerberos');
    expect(error.hint).toMatch(hint);
    expect(error.message).toContain('the server accepts: publickey, gssapi-with-mic');
  });

  it('is not named where a password is just wrong', async () => {
    const server = await startSshServer(wanting(['password']));
    const error = await failureOf(async () => {
      await logIn(server, answering('wrong'), { identityFiles: [await makeKey()] });
    });
    expect(error.hint).not.toContain('transport');
  });
});
