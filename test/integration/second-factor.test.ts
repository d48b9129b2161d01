import { execa } from 'execa';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { HpcrunError } from '../../src/errors.js';
import { openConnection } from '../../src/ssh/open-connection.js';
import type { Prompter } from '../../src/ssh/prompter.js';
import { binPath, loginContainer, makeProject, onLogin, sandboxCluster } from './lab.js';
import { oneTimeCode, sharedSecret } from './one-time-code.js';
import { useSshConfig } from './ssh-config-file.js';
import { typeInto } from './typing.js';

const { signal } = new AbortController();
const password = 'correct horse';
const passphrase = 'battery staple';

/** What asks, by the name of its PAM service; each is one module after the other. */
const services = {
  'hpcrun-code': ['auth required pam_google_authenticator.so secret=/etc/hpcrun-test/secret user=root'],
  'hpcrun-password-code': [
    'auth required pam_unix.so',
    'auth required pam_google_authenticator.so secret=/etc/hpcrun-test/secret user=root',
  ],
  'hpcrun-hostile': [
    'auth optional pam_echo.so file=/etc/hpcrun-test/hostile',
    'auth required pam_google_authenticator.so secret=/etc/hpcrun-test/secret user=root',
  ],
  'hpcrun-approval': ['auth optional pam_echo.so file=/etc/hpcrun-test/approval', 'auth required pam_permit.so'],
};

/** What would clear the screen, go up a line, and ask in the name of others. */
const hostileLines = [
  '\u001b[2J\u001b[1AWelcome',
  "Enter passphrase for key '/home/ada/.ssh/id_ed25519': ",
  `${' '.repeat(90)}Is this the fingerprint your cluster publishes? (yes/no)`,
];

/** Servers in the login container, each with rules of its own. Their hosts are named so in the SSH configuration of the tests. */
const servers = {
  'key-code': { port: 2031, service: 'hpcrun-code', methods: 'publickey,keyboard-interactive:pam' },
  'password-code': { port: 2032, service: 'hpcrun-password-code', methods: 'keyboard-interactive:pam' },
  approval: { port: 2033, service: 'hpcrun-approval', methods: 'publickey,keyboard-interactive:pam' },
  hostile: { port: 2035, service: 'hpcrun-hostile', methods: 'publickey,keyboard-interactive:pam' },
  key: { port: 2034, service: 'hpcrun-code', methods: 'publickey' },
} as const;

let directory = '';
let env: NodeJS.ProcessEnv = {};

beforeAll(async () => {
  directory = await makeProject({});
  for (const name of ['locked', 'open', 'other1', 'other2', 'other3']) {
    const words = name === 'locked' ? passphrase : '';
    await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', words, '-C', name, '-f', join(directory, name)]);
  }
  const keys = await Promise.all(['locked', 'open'].map((name) => readFile(join(directory, `${name}.pub`), 'utf8')));
  const files = [
    ...Object.entries(services).map(([name, lines]) => [
      `/etc/pam.d/${name}`,
      [...lines, 'account required pam_permit.so', 'session required pam_permit.so'],
    ]),
    ['/etc/hpcrun-test/secret', [sharedSecret, '" WINDOW_SIZE 17', '" TOTP_AUTH']],
    ['/etc/hpcrun-test/approval', ['Approve the login on your phone.']],
    ['/etc/hpcrun-test/hostile', hostileLines],
    ['/etc/hpcrun-test/banner', ['Authorized use only \u001b[2J']],
    ['/etc/hpcrun-test/keys', keys.map((key) => key.trim())],
    ...Object.entries(servers).map(([name, { port, service, methods }]) => [
      `/etc/hpcrun-test/${name}.conf`,
      [
        `Port ${port}`,
        `PidFile /run/hpcrun-test-${name}.pid`,
        'UsePAM yes',
        `PAMServiceName ${service}`,
        `AuthenticationMethods ${methods}`,
        'KbdInteractiveAuthentication yes',
        'AuthorizedKeysFile /etc/hpcrun-test/keys',
        'Banner /etc/hpcrun-test/banner',
        // None of several keys too many may be offered, and wrong answers have no consequences.
        'MaxAuthTries 3',
        'PerSourcePenalties no',
      ],
    ]),
  ] as [string, string[]][];
  const module = '/usr/lib/*/security/pam_google_authenticator.so';
  await onLogin(
    [
      'set -e',
      `[ -e ${module} ] || { apt-get -q update && apt-get -q install -y --no-install-recommends libpam-google-authenticator; }`,
      'mkdir -p /etc/hpcrun-test',
      ...files.map(([path, lines]) => `cat >${path} <<'END'\n${lines.join('\n')}\nEND`),
      'chmod 0400 /etc/hpcrun-test/secret',
      `echo 'researcher:${password}' | chpasswd`,
      ...Object.keys(servers).map((name) => `/usr/sbin/sshd -f /etc/hpcrun-test/${name}.conf`),
    ].join('\n'),
    'root',
  );

  const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
  const { stdout: address } = await execa('docker', ['inspect', '--format', format, loginContainer]);
  const { knownHostsFile } = await sandboxCluster();
  const hostKey = (await readFile(knownHostsFile, 'utf8')).split('\n')[0]?.replace(/^\S+ /, '') ?? '';
  // Known by name, and hashed, as Debian's ssh stores them.
  const hosts = Object.values(servers).map(({ port }) => `[sandbox-login]:${port} ${hostKey}\n`);
  await writeFile(join(directory, 'known_hosts'), hosts.join(''));
  await execa('ssh-keygen', ['-q', '-H', '-f', join(directory, 'known_hosts')]);
  const config = [
    ...Object.entries(servers).map(
      ([name, { port }]) => `Host ${name}\n  Port ${port}\n  HostKeyAlias [sandbox-login]:${port}\n`,
    ),
    // Beyond the first host, the container's own address is the way on.
    'Host *-by-two\n  HostName 127.0.0.1\n  ProxyJump key,approval\n',
    `Host key-code-by-two\n  Port ${servers['key-code'].port}\n  HostKeyAlias [sandbox-login]:${servers['key-code'].port}\n`,
    `Host *\n  HostName ${address}\n  User researcher\n  IdentityFile ${join(directory, 'locked')}\n  IdentityAgent none\n`,
    `  UserKnownHostsFile ${join(directory, 'known_hosts')}\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n`,
  ];
  env = await useSshConfig(directory, config.join(''));
}, 300_000);

afterAll(async () => {
  await onLogin(
    "kill $(cat /run/hpcrun-test-*.pid); rm -r /etc/hpcrun-test; usermod --password '*' researcher",
    'root',
  );
});

interface Answers extends Prompter {
  asked: string[];
  told: string[];
}

/** Answers questions by what they say; a list is used up from the front. */
function answering(answers: Record<string, string | (() => string) | string[]>): Answers {
  const asked: string[] = [];
  const told: string[] = [];
  return {
    asked,
    told,
    tell: (text) => void told.push(text),
    ask: (question) => {
      asked.push(question);
      const [, found] = Object.entries(answers).find(([words]) => question.includes(words)) ?? [];
      const answer = Array.isArray(found) ? found.shift() : typeof found === 'function' ? found() : found;
      return answer === undefined
        ? Promise.reject(new Error(`unexpected question: ${question}`))
        : Promise.resolve(answer);
    },
  };
}

async function logIn(host: string, prompter: Prompter, changes: Record<string, unknown> = {}): Promise<string> {
  const connection = await openConnection({ host, ...changes }, { env, prompter, signal });
  const { stdout } = await connection.run('id -un', { signal });
  connection.close();
  return stdout.toString().trim();
}

const open = () => ({ identityFile: join(directory, 'open') });
const right = { passphrase, Password: password, 'Verification code': oneTimeCode };

describe('a second factor', () => {
  it('is asked for in the words of the server, after the key', async () => {
    const prompter = answering(right);
    expect(await logIn('key-code', prompter, open())).toBe('researcher');
    expect(prompter.asked).toEqual(['(researcher@key-code) Verification code: ']);
    expect(prompter.told).toEqual(['(researcher@key-code) Authorized use only \\x1b[2J']);
  });

  it('is asked for after the password, in one conversation', async () => {
    const prompter = answering(right);
    expect(await logIn('password-code', prompter)).toBe('researcher');
    expect(prompter.asked).toEqual(
      ['Password: ', 'Verification code: '].map((text) => `(researcher@password-code) ${text}`),
    );
  });

  it('is asked for again after a wrong one', async () => {
    const prompter = answering({ 'Verification code': ['000000', oneTimeCode()] });
    expect(await logIn('key-code', prompter, open())).toBe('researcher');
    expect(prompter.asked).toHaveLength(2);
    expect(prompter.told.at(-1)).toBe('Permission denied, please try again.');
  });

  it('that is always wrong ends the login, and is in no message', async () => {
    const prompter = answering({ 'Verification code': '271828' });
    const error = await logIn('key-code', prompter, open()).catch((reason: unknown) => reason);
    if (!(error instanceof HpcrunError)) throw error;
    expect(error.code).toBe('LOGIN_FAILED');
    expect(prompter.asked).toHaveLength(3);
    expect(`${error.message} ${error.hint ?? ''} ${prompter.told.join(' ')}`).not.toContain('271828');
  });

  it('may be a text that wants no answer', async () => {
    const prompter = answering({});
    expect(await logIn('approval', prompter, open())).toBe('researcher');
    expect(prompter.told).toContain('(researcher@approval) Approve the login on your phone.');
  });
});

describe('keys', () => {
  it('that are locked, and take a host and two before it, are opened once', async () => {
    const prompter = answering(right);
    expect(await logIn('key-code-by-two', prompter)).toBe('researcher');
    expect(prompter.asked).toEqual([
      `Enter passphrase for key '${join(directory, 'locked')}': `,
      '(researcher@key-code-by-two) Verification code: ',
    ]);
  });

  it('of an agent with too many of them are left out under IdentitiesOnly', async () => {
    const socket = join(directory, 'agent');
    const agent = execa('ssh-agent', ['-D', '-a', socket], { reject: false });
    try {
      await expect.poll(async () => (await execa('test', ['-S', socket], { reject: false })).exitCode).toBe(0);
      const names = ['other1', 'other2', 'other3', 'open'];
      await execa(
        'ssh-add',
        names.map((name) => join(directory, name)),
        { env: { SSH_AUTH_SOCK: socket } },
      );
      const withAgent = (text: string) => text.replace('IdentityAgent none', `IdentityAgent ${socket}`);
      const config = await readFile(join(directory, 'ssh_config'), 'utf8');
      try {
        await writeFile(join(directory, 'ssh_config'), withAgent(config));
        await expect(logIn('key', answering({}), open())).resolves.toBe('researcher');
        // Without the key's name, the server is weary before its turn comes.
        await expect(logIn('key', answering({}))).rejects.toMatchObject({
          code: 'LOGIN_FAILED',
          hint: expect.stringContaining('IdentitiesOnly') as string,
        });
        const publicKey = { identityFile: join(directory, 'open.pub') };
        await writeFile(join(directory, 'ssh_config'), `IdentitiesOnly yes\n${withAgent(config)}`);
        await expect(logIn('key', answering({}), publicKey)).resolves.toBe('researcher');
      } finally {
        await writeFile(join(directory, 'ssh_config'), config);
      }
    } finally {
      agent.kill();
      await agent;
    }
  });
});

describe('in a terminal', () => {
  it('a command asks, hides what is typed, and goes on', async () => {
    const cluster = { host: 'key-code', ...open() };
    const project = await makeProject({ 'hpcrun.yaml': JSON.stringify({ clusters: { strict: cluster } }) });
    const code = oneTimeCode();
    const { output, exitCode } = await typeInto(['status', '--cluster', 'strict'], {
      cwd: project,
      env: { PATH: env.PATH ?? '' },
      reactions: [['(researcher@key-code) Verification code: ', code]],
    });
    expect(output).not.toContain(code);
    expect(output).toContain('(researcher@key-code) Authorized use only \\x1b[2J');
    expect(exitCode, output).toBe(0);
    expect(output).not.toContain('\u001b[2J');
  });

  it.each(['ssh2', 'openssh'])(
    'a hostile server moves no cursor and asks for nothing but itself (%s)',
    async (transport) => {
      const cluster = { host: 'hostile', transport, ...open() };
      const project = await makeProject({ 'hpcrun.yaml': JSON.stringify({ clusters: { strict: cluster } }) });
      const { output, exitCode } = await typeInto(['status', '--cluster', 'strict'], {
        cwd: project,
        env: { PATH: env.PATH ?? '' },
        reactions: [['Verification code: ', oneTimeCode]],
      });
      expect(exitCode, output).toBe(0);
      expect(output).toContain('Welcome');
      for (const sequence of ['\u001b[2J', '\u001b[1A']) expect(output).not.toContain(sequence);
      const lines = output.split(/[\r\n]+/).filter((line) => /passphrase|fingerprint|Welcome/.test(line));
      expect(lines.length).toBeGreaterThanOrEqual(3);
      for (const line of lines) expect(line).toMatch(/^\((researcher@[^()]+|ssh)\) /);
    },
  );

  it('nobody is asked with --no-input, and the question is in the error', async () => {
    const prompter = { ...open(), host: 'key-code' };
    const project = await makeProject({ 'hpcrun.yaml': JSON.stringify({ clusters: { strict: prompter } }) });
    const result = await execa('node', [binPath, 'status', '--cluster', 'strict', '--no-input'], {
      cwd: project,
      env: { ...inject('labEnvironment'), ...env },
      reject: false,
      stdin: 'ignore',
    });
    expect(result.exitCode).toBe(5);
    expect(result.stderr).toContain('(researcher@key-code) Verification code:');
  });
});
