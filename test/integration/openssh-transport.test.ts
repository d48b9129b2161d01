import { execa } from 'execa';
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { packageDirectory } from '../../src/package-directory.js';
import { hpcrun, makeProject, makePythonProject, sandboxCluster, startHpcrun } from './lab.js';

async function opensshCluster(): Promise<string> {
  const sandbox = await sandboxCluster();
  const other = { ...sandbox, transport: 'openssh' };
  return `${JSON.stringify({ cluster: 'other', clusters: { other } })}\n`;
}

describe('transport: openssh', () => {
  it('carries a run from submit to its results', async () => {
    const project = await makePythonProject({
      'hpcrun.yaml': await opensshCluster(),
      'train.py':
        'import os\nos.makedirs("out")\nopen("out/model", "wb").write(bytes(range(256)) * 9000)\nprint("trained")\n',
    });
    const submitted = await hpcrun(['submit', '--json', '--wait', 'train.py'], { cwd: project });
    expect(submitted.stderr).toBe('');
    expect(submitted.exitCode).toBe(0);
    const status = await hpcrun(['status', '--json', '@last'], { cwd: project });
    expect(status.objects).toMatchObject([{ state: 'COMPLETED' }]);
    expect((await hpcrun(['logs'], { cwd: project })).stdout).toBe('trained');
    const pulled = await hpcrun(['pull-results', '--json'], { cwd: project });
    expect(pulled.exitCode).toBe(0);
    const { stdout: found } = await execa('find', ['hpcrun-results', '-name', 'model', '-size', '2304000c'], {
      cwd: project,
    });
    expect(found).toMatch(/out\/model$/);
    // Nothing has changed: one remote command says so.
    expect((await hpcrun(['submit', '--json', '--wait', 'train.py'], { cwd: project })).exitCode).toBe(0);
  });

  it('never asks with --no-input, and says what would have been asked', async () => {
    const sandbox = await sandboxCluster();
    const project = await makeProject({ known_hosts: '' });
    const other = { ...sandbox, transport: 'openssh', knownHostsFile: join(project, 'known_hosts') };
    await execa('tee', [join(project, 'hpcrun.yaml')], { input: JSON.stringify({ clusters: { other } }) });
    const { exitCode, stderr } = await hpcrun(['status', '--cluster', 'other', '--no-input', '--json'], {
      cwd: project,
    });
    expect(stderr).toContain('HOST_KEY_UNKNOWN');
    expect(stderr).toMatch(/SHA256:[\w+/]{43}/);
    expect(exitCode).toBe(5);
  });

  it('leaves no ssh and no file behind when hpcrun is killed', async () => {
    const temporary = join(await makeProject({}), 't');
    await mkdir(temporary);
    const project = await makePythonProject({
      'hpcrun.yaml': await opensshCluster(),
      'train.py': 'import time\nprint("started", flush=True)\ntime.sleep(600)\n',
    });
    const submitted = await hpcrun(['submit', '--json', 'train.py'], { cwd: project });
    expect(submitted.stderr).toBe('');
    const following = startHpcrun(['logs', '--follow'], { cwd: project, env: { TMPDIR: temporary } });
    await new Promise((resolve) => following.stdout.once('data', resolve));
    const [directory] = await readdir(temporary);
    expect(directory).toMatch(/^hpcrun-/);
    const processes = async () =>
      (await execa('pgrep', ['-f', join(temporary, String(directory))], { reject: false })).stdout;
    expect(await processes()).not.toBe('');
    following.kill('SIGKILL');
    await following;
    while ((await processes()) !== '' || existsSync(join(temporary, String(directory)))) await sleep(100);
    expect(await readdir(temporary)).toEqual([]);
    expect((await hpcrun(['cancel', '@last'], { cwd: project })).exitCode).toBe(0);
  });

  it('has a program for questions that can be started', async () => {
    const askpass = join(packageDirectory(), 'bin', 'askpass');
    const { exitCode } = await execa(askpass, ['A question'], {
      reject: false,
      env: {
        HPCRUN_ASKPASS_NODE: process.execPath,
        HPCRUN_ASKPASS_PROGRAM: join(packageDirectory(), 'dist', 'cli', 'askpass.js'),
        HPCRUN_ASKPASS_SOCKET: '/nonexistent/socket',
      },
    });
    expect(exitCode).toBe(1);
  });
});
