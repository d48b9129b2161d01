import { execa } from 'execa';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { errorOf, farRoot, hpcrun, makeProject, makePythonProject, onLogin, sandboxCluster } from './lab.js';

const script = { 'ok.py': 'print("ok")\n' };

async function failing(args: string[], cwd: string) {
  const result = await hpcrun([...args, '--json'], { cwd });
  expect(result.stdout).toBe('');
  return { exitCode: result.exitCode, ...errorOf(result) };
}

describe('mistakes get a code, a hint and an exit status', () => {
  it('no project', async () => {
    const error = await failing(['submit'], await makeProject({}));
    expect(error).toMatchObject({
      exitCode: 2,
      code: 'PROJECT_NOT_FOUND',
      hint: expect.stringContaining('Dockerfile') as string,
    });
  });

  it('no Dockerfile', async () => {
    const project = await makeProject({ ...script, 'hpcrun.yaml': 'cluster: sandbox\n' });
    expect(await failing(['submit', '--json', 'ok.py'], project)).toMatchObject({
      exitCode: 2,
      code: 'DOCKERFILE_NOT_FOUND',
    });
  });

  it('a build that fails, with its own output', async () => {
    const project = await makePythonProject({
      ...script,
      Dockerfile: 'FROM debian:trixie-slim\nRUN echo what went wrong && exit 42\n',
    });
    const error = await failing(['submit', '--json', 'ok.py'], project);
    expect(error).toMatchObject({ exitCode: 3, code: 'BUILD_FAILED' });
    expect(error.message).toMatch(/what went wrong/);
    expect(error.message).toMatch(/42/);

    // One that has been built before begins before the login has ended; its output is the same.
    await writeFile(join(project, 'Dockerfile'), 'FROM debian:trixie-slim\n');
    expect((await hpcrun(['push'], { cwd: project })).exitCode).toBe(0);
    await writeFile(join(project, 'Dockerfile'), 'FROM debian:trixie-slim\nRUN echo what went wrong now && exit 43\n');
    const second = await failing(['submit', '--json', 'ok.py'], project);
    expect(second).toMatchObject({ exitCode: 3, code: 'BUILD_FAILED' });
    expect(second.message).toMatch(/what went wrong now[^]*43/);
  });

  it('unknown keys in hpcrun.yaml, all at once', async () => {
    const project = await makePythonProject({
      ...script,
      'hpcrun.yaml': 'cluster: sandbox\nresorces:\n  gpus: 1\nmount: here\n',
    });
    const error = await failing(['submit', '--json', 'ok.py'], project);
    expect(error).toMatchObject({ exitCode: 2, code: 'CONFIG_INVALID' });
    expect(error.message).toMatch(
      /hpcrun\.yaml:2: resorces: unknown key; did you mean "resources"\?\n.*hpcrun\.yaml:4: mount: /,
    );
  });

  it('no script, a script outside of the project, an unknown option', async () => {
    const project = await makePythonProject(script);
    await writeFile(join(project, '..', 'elsewhere.py'), '');
    expect(await failing(['submit', '--json', 'missing.py'], project)).toMatchObject({
      exitCode: 2,
      code: 'SCRIPT_NOT_FOUND',
    });
    expect(await failing(['submit', '--json', '../elsewhere.py'], project)).toMatchObject({
      exitCode: 2,
      code: 'SCRIPT_OUTSIDE_PROJECT',
    });
    expect(await failing(['submit', '--json', '--gpu', '1', 'ok.py'], project)).toMatchObject({
      exitCode: 2,
      code: 'USAGE',
    });
    expect(await failing(['submit', '--json', '--memory', 'lots', 'ok.py'], project)).toMatchObject({
      exitCode: 2,
      code: 'USAGE',
    });
  });

  it("a wrong partition, in SLURM's own words and with nothing left behind", async () => {
    const project = await makePythonProject(script);
    const before = await onLogin(`ls -A ${farRoot}/runs 2>/dev/null || true`);
    const error = await failing(['submit', '--json', '--partition', 'nowhere', 'ok.py'], project);
    expect(error).toMatchObject({ exitCode: 7, code: 'SLURM_REFUSED' });
    expect(error.message).toMatch(/invalid partition specified: nowhere/);
    expect(await onLogin(`ls -A ${farRoot}/runs 2>/dev/null || true`)).toBe(before);
    expect((await hpcrun(['submit', '--wait', 'ok.py'], { cwd: project })).stdout).toBe('ok');
  });

  it('a bind whose source is not there', async () => {
    const project = await makePythonProject(script);
    const error = await failing(['submit', '--json', '-v', '/no/such/place:/data', 'ok.py'], project);
    expect(error).toMatchObject({ exitCode: 2, code: 'BIND_SOURCE_MISSING' });
    expect(error.message).toContain('/no/such/place');
    const unset = await failing(['submit', '--json', '-v', '$NO_SUCH_VARIABLE/x:/data', 'ok.py'], project);
    expect(unset).toMatchObject({ exitCode: 2, code: 'VARIABLE_MISSING' });
  });

  it('a run that is not there', async () => {
    const project = await makePythonProject({});
    for (const command of ['logs', 'wait', 'pull-results']) {
      expect(await failing([command, 'no-such-run'], project)).toMatchObject({ exitCode: 8, code: 'RUN_NOT_FOUND' });
    }
  });
});

describe('mistakes about runs and results', () => {
  it('a command that does not exist', async () => {
    const project = await makePythonProject({});
    expect(await failing(['stauts'], project)).toMatchObject({
      exitCode: 2,
      code: 'USAGE',
      message: 'unknown command "stauts"; did you mean "status"?',
    });
    expect(await failing(['sandbox', 'upp'], project)).toMatchObject({ exitCode: 2, code: 'USAGE' });
  });

  it('a run whose directory is gone, a target that cannot be written, and the last run of another project', async () => {
    const project = await makePythonProject({ 'write.py': 'open("out.txt", "w").write("x" * 3000000)\n', taken: '' });
    const run = await hpcrun(['submit', '--json', '--wait', 'write.py'], { cwd: project });
    const { runId } = run.objects[0] as { runId: string };
    const blocked = await failing(['pull-results', runId, '--to', 'taken/below'], project);
    expect(blocked).toMatchObject({ exitCode: 6, code: 'TRANSFER_FAILED' });

    const other = await makePythonProject({});
    expect(await failing(['pull-results'], other)).toMatchObject({ exitCode: 8, code: 'RUN_NOT_FOUND' });

    await onLogin(`rm -rf ${farRoot}/runs/${runId}`);
    expect(await failing(['status', runId], project)).toMatchObject({ exitCode: 8, code: 'RUN_NOT_FOUND' });
    expect(await failing(['cancel', runId], project)).toMatchObject({ exitCode: 8, code: 'RUN_NOT_FOUND' });
  });

  it('a script that is not sent because it is ignored', async () => {
    const project = await makePythonProject({ ...script, '.hpcrunignore': '*.py\n' });
    expect(await failing(['submit', '--json', 'ok.py'], project)).toMatchObject({
      exitCode: 2,
      code: 'SCRIPT_NOT_FOUND',
    });
  });
});

describe('clusters that should not be talked to', () => {
  async function projectWith(cluster: Record<string, unknown>): Promise<string> {
    const project = await makePythonProject(script);
    const text = { cluster: 'other', clusters: { other: { host: '127.0.0.1', user: 'researcher', ...cluster } } };
    await writeFile(join(project, 'hpcrun.yaml'), JSON.stringify(text));
    return project;
  }

  it('one that does not answer', async () => {
    const project = await projectWith({ port: 1 });
    expect(await failing(['submit', '--json', 'ok.py'], project)).toMatchObject({
      exitCode: 5,
      code: 'CONNECTION_FAILED',
    });
  });

  it('one whose key lets nobody in', async () => {
    const { port, knownHostsFile } = await sandboxCluster();
    const project = await projectWith({ port, knownHostsFile, identityFile: '/dev/null' });
    const error = await failing(['submit', '--json', '--no-input', 'ok.py'], project);
    expect(error).toMatchObject({ exitCode: 5, code: 'LOGIN_FAILED' });
  });

  it('one that lets nobody in any more, which stops a build that has begun', async () => {
    const { port, knownHostsFile, identityFile } = await sandboxCluster();
    const project = await projectWith({ port, knownHostsFile, identityFile, root: `${farRoot}-early` });
    expect((await hpcrun(['submit', '--json', 'ok.py'], { cwd: project })).exitCode).toBe(0);
    const settings = await readFile(join(project, 'hpcrun.yaml'), 'utf8');
    await writeFile(join(project, 'hpcrun.yaml'), settings.replace(JSON.stringify(identityFile), '"/dev/null"'));
    const mark = `early-${port}-${Date.now()}`;
    await writeFile(join(project, 'Dockerfile'), `FROM debian:trixie-slim\nRUN sleep 60; echo ${mark}\n`);
    const error = await failing(['submit', '--json', '--no-input', 'ok.py'], project);
    expect(error).toMatchObject({ exitCode: 5, code: 'LOGIN_FAILED' });
    const { stdout } = await execa('docker', ['ps', '--no-trunc', '--format', '{{.Command}}']);
    expect(stdout).not.toContain(mark);
  });

  it('one with an unknown host key: shown, refused without a terminal, nothing stored', async () => {
    const { port, identityFile } = await sandboxCluster();
    const project = await projectWith({ port, identityFile });
    const knownHostsFile = join(project, 'ssh', 'known_hosts');
    await mkdir(join(project, 'ssh'));
    await writeFile(knownHostsFile, '');
    const withFile = await projectWith({ port, identityFile, knownHostsFile });
    const error = await failing(['submit', '--json', '--no-input', 'ok.py'], withFile);
    expect(error).toMatchObject({ exitCode: 5, code: 'HOST_KEY_UNKNOWN' });
    const fingerprints = await onLogin(
      'for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf "$key"; done',
      'root',
    );
    expect(fingerprints).toContain(/SHA256:\S+/.exec(error.message)?.[0]);
    expect(await readFile(knownHostsFile, 'utf8')).toBe('');
  });

  it('one with a changed host key: always refused', async () => {
    const { port, identityFile, knownHostsFile } = await sandboxCluster();
    const lines = (await readFile(knownHostsFile, 'utf8')).trim().split('\n');
    // Each key type with a key that is another one's.
    const changed = lines.map((line) => {
      const [name = '', type = '', key = ''] = line.split(' ');
      const bytes = Buffer.from(key, 'base64');
      bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
      return `${name} ${type} ${bytes.toString('base64')}`;
    });
    const project = await makeProject({ known_hosts: `${changed.join('\n')}\n` });
    const withFile = await projectWith({ port, identityFile, knownHostsFile: join(project, 'known_hosts') });
    expect(await failing(['submit', '--json', 'ok.py'], withFile)).toMatchObject({
      exitCode: 5,
      code: 'HOST_KEY_CHANGED',
    });
  });
});
