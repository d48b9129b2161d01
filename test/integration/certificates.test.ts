import { execa } from 'execa';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSshd, type ExtraSshd } from './extra-sshd.js';
import { errorOf, hpcrun, makeProject, makePythonProject, onLogin } from './lab.js';

const transports = ['ssh2', 'openssh'] as const;

/** A project with one cluster for each transport, named for it, at the same sshd. */
async function makeClusters({ target }: ExtraSshd, identityFile = target.identityFile): Promise<string> {
  const { host, port, user, knownHostsFile } = target;
  const cluster = { host, port, user, knownHostsFile, identityFile, pollSeconds: 2 };
  const clusters = Object.fromEntries(transports.map((transport) => [transport, { ...cluster, transport }]));
  return await makePythonProject({
    'work.py': 'print("let in")\n',
    'hpcrun.yaml': JSON.stringify({ cluster: 'ssh2', clusters }),
  });
}

describe('a cluster that lets in whoever has a certificate', () => {
  const authority = '/etc/ssh/user-ca-test.pub';
  let sshd: ExtraSshd;
  let project = '';
  let key = '';

  beforeAll(async () => {
    const directory = await makeProject({});
    key = join(directory, 'key');
    const ca = join(directory, 'ca');
    for (const file of [ca, key]) await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
    await execa('ssh-keygen', ['-q', '-s', ca, '-I', 'test', '-n', 'researcher', '-V', '-1h:+1d', `${key}.pub`]);
    await onLogin(`cat >${authority} <<'end'\n${await readFile(`${ca}.pub`, 'utf8')}end\n`, 'root');
    sshd = await startSshd(2231, [`TrustedUserCAKeys=${authority}`, 'AuthorizedKeysFile=none']);
    project = await makeClusters(sshd, key);
  });
  afterAll(async () => {
    await sshd.stop();
    await onLogin(`rm ${authority}`, 'root');
  });

  it("is out of reach of hpcrun's own SSH, which says what would do", async () => {
    const result = await hpcrun(['status', '--json', '--no-input'], { cwd: project });
    expect(result.exitCode).toBe(5);
    expect(errorOf(result).code).toBe('LOGIN_FAILED');
    expect(errorOf(result).hint).toContain(`certificate ${key}-cert.pub`);
    expect(errorOf(result).hint).toContain('"transport: openssh"');
  });

  it('is reached with transport: openssh, by every command', async () => {
    const options = { cwd: project, env: { HPCRUN_CLUSTER: 'openssh' } };
    const submitted = await hpcrun(['submit', '--json', '--wait', 'work.py'], options);
    expect(submitted.stderr).toBe('');
    expect(submitted.exitCode).toBe(0);
    expect((await hpcrun(['status', '--json', '@last'], options)).objects).toMatchObject([{ state: 'COMPLETED' }]);
    expect((await hpcrun(['logs'], options)).stdout).toBe('let in');
    expect((await hpcrun(['pull-results', '--json'], options)).exitCode).toBe(0);
  });

  it('says with transport: openssh that a certificate is out of date', async () => {
    const directory = await makeProject({});
    const [old, ca] = [join(directory, 'key'), join(directory, 'ca')];
    for (const file of [ca, old]) await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
    await execa('ssh-keygen', ['-q', '-s', ca, '-I', 'test', '-n', 'researcher', '-V', '-2d:-1d', `${old}.pub`]);
    const cwd = await makeClusters(sshd, old);
    const result = await hpcrun(['status', '--json', '--cluster', 'openssh'], { cwd });
    expect(errorOf(result)).toMatchObject({ code: 'LOGIN_FAILED' });
    expect(errorOf(result).hint).toContain(`${old}-cert.pub`);
    expect(errorOf(result).hint).toMatch(/expired|out of date/);
  });
});

describe('a cluster that takes Kerberos tickets only', () => {
  let sshd: ExtraSshd;
  let project = '';

  beforeAll(async () => {
    sshd = await startSshd(2232, [
      ...['GSSAPIAuthentication=yes', 'AuthenticationMethods=gssapi-with-mic'],
      ...['PubkeyAuthentication=no', 'PasswordAuthentication=no', 'KbdInteractiveAuthentication=no'],
    ]);
    project = await makeClusters(sshd);
  });
  afterAll(async () => {
    await sshd.stop();
  });

  it("is out of reach of hpcrun's own SSH, which says what would do", async () => {
    const result = await hpcrun(['status', '--json', '--no-input'], { cwd: project });
    expect(result.exitCode).toBe(5);
    expect(errorOf(result).code).toBe('LOGIN_FAILED');
    expect(errorOf(result).hint).toContain('Kerberos');
    expect(errorOf(result).hint).toContain('"transport: openssh"');
  });

  it('asks for a ticket with transport: openssh', async () => {
    const result = await hpcrun(['status', '--json', '--no-input', '--cluster', 'openssh'], { cwd: project });
    expect(result.exitCode).toBe(5);
    expect(errorOf(result).code).toBe('LOGIN_FAILED');
    expect(errorOf(result).message).toContain('gssapi-with-mic');
    expect(errorOf(result).hint).toContain('kinit');
    expect(errorOf(result).hint).toContain('GSSAPIAuthentication yes');
  });
});
