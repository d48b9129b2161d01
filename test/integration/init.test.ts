import { execa } from 'execa';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { projectSchema } from '../../src/config/schema.js';
import { parseYaml } from '../../src/config/yaml-file.js';
import { binPath, errorOf, hpcrun, makeProject, pythonDockerfile, sandboxCluster } from './lab.js';

async function readConfig(project: string) {
  const text = await readFile(join(project, 'hpcrun.yaml'), 'utf8');
  return { text, config: parseYaml(text, 'hpcrun.yaml', projectSchema) };
}

/** An environment in which no cluster is known but those of `~/.ssh/config`. */
async function makeHome(sshConfig: string): Promise<Record<string, string>> {
  const home = await makeProject({ '.ssh/config': sshConfig });
  return { HOME: home, XDG_STATE_HOME: join(home, 'state'), XDG_CONFIG_HOME: join(home, 'config') };
}

describe('hpcrun init', () => {
  it('guesses all of it for a cluster that is up, and what it writes is what doctor and submit want', async () => {
    const project = await makeProject({
      Dockerfile: pythonDockerfile,
      'requirements.txt': 'torch\n',
      'ok.py': 'print("ok")\n',
    });
    const { objects, exitCode } = await hpcrun(['init', '--no-input', '--json'], { cwd: project });
    expect(exitCode).toBe(0);
    expect(objects).toMatchObject([
      {
        type: 'initialized',
        cluster: 'sandbox',
        dockerfile: 'Dockerfile',
        partition: 'batch',
        account: 'research',
        gpus: '1',
      },
    ]);
    const { text, config } = await readConfig(project);
    expect(config).toMatchObject({
      cluster: 'sandbox',
      resources: { gpus: { count: 1 }, time: 3600, partition: 'batch', account: 'research' },
    });
    expect(text).toContain('batch (default): 2 nodes');
    expect((await hpcrun(['doctor', '--no-job'], { cwd: project })).exitCode).toBe(0);
    const run = await hpcrun(['submit', '--wait', 'ok.py'], { cwd: project });
    expect(run).toMatchObject({ exitCode: 0, stdout: 'ok' });
  });

  it('never writes over a file unasked', async () => {
    const project = await makeProject({ Dockerfile: pythonDockerfile, 'hpcrun.yaml': '# mine\n' });
    const refused = await hpcrun(['init', '--no-input', '--json'], { cwd: project });
    expect({ ...errorOf(refused), exitCode: refused.exitCode }).toMatchObject({ exitCode: 2, code: 'OUTPUT_EXISTS' });
    expect((await readConfig(project)).text).toBe('# mine\n');
    const forced = await hpcrun(['init', '--no-input', '--no-login', '--force'], { cwd: project });
    expect(forced.exitCode).toBe(0);
    expect((await readConfig(project)).config.cluster).toBe('sandbox');
  });

  it('takes the site that is named, or the one a host of ~/.ssh/config belongs to', async () => {
    const env = await makeHome(
      'Host web\n  HostName www.example.org\nHost rwth\n  HostName login23-2.hpc.itc.rwth-aachen.de\n  User ab123456\n',
    );
    const named = await makeProject({ Dockerfile: pythonDockerfile });
    expect((await hpcrun(['init', '--no-input', '--no-login', '--site', 'lumi'], { cwd: named, env })).exitCode).toBe(
      0,
    );
    expect((await readConfig(named)).config).toMatchObject({ cluster: 'lumi', clusters: { lumi: { site: 'lumi' } } });
    expect((await readConfig(named)).text).toMatch(/# account: NAME # has to be said/);

    const guessed = await makeProject({ Containerfile: 'FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04\n' });
    expect((await hpcrun(['init', '--no-input', '--no-login'], { cwd: guessed, env })).exitCode).toBe(0);
    expect((await readConfig(guessed)).config).toMatchObject({
      cluster: 'rwth',
      image: { dockerfile: 'Containerfile' },
      resources: { gpus: { count: 1 } },
      clusters: { rwth: { site: 'claix', host: 'rwth' } },
    });

    const unknown = await hpcrun(['init', '--no-input', '--json', '--site', 'claxi'], { cwd: named, env });
    expect(errorOf(unknown).message).toBe(`${join(named, 'hpcrun.yaml')} is there already`);
    const typo = await hpcrun(['init', '--no-input', '--json', '--force', '--site', 'claxi'], { cwd: named, env });
    expect({ ...errorOf(typo), exitCode: typo.exitCode }).toMatchObject({
      exitCode: 2,
      message: 'there is no site "claxi"; did you mean "claix"?',
    });
  });

  it('writes what it knows where the cluster does not answer', async () => {
    const env = await makeHome('');
    await mkdir(join(env.XDG_CONFIG_HOME ?? '', 'hpcrun'), { recursive: true });
    await writeFile(
      join(env.XDG_CONFIG_HOME ?? '', 'hpcrun', 'config.yaml'),
      'clusters: {mine: {host: 127.0.0.1, port: 1}}\n',
    );
    const project = await makeProject({ Dockerfile: pythonDockerfile });
    const { stderr, exitCode } = await hpcrun(['init', '--no-input'], { cwd: project, env });
    expect(exitCode).toBe(0);
    expect(stderr).toContain('mine could not be asked');
    expect((await readConfig(project)).config).toMatchObject({ cluster: 'mine', clusters: {} });
  });

  it('asks in a terminal: which cluster, how many GPUs, and before it writes over a file', async () => {
    const { port, identityFile, knownHostsFile } = await sandboxCluster();
    const { XDG_CONFIG_HOME = '' } = await makeHome('');
    await mkdir(join(XDG_CONFIG_HOME, 'hpcrun'), { recursive: true });
    const other = { host: '127.0.0.1', user: 'researcher', port, identityFile, knownHostsFile };
    await writeFile(
      join(XDG_CONFIG_HOME, 'hpcrun', 'config.yaml'),
      JSON.stringify({ clusters: { first: other, second: other } }),
    );
    const project = await makeProject({ Dockerfile: pythonDockerfile, 'hpcrun.yaml': '# mine\n' });
    const answers = [
      { question: 'Replace it?', answer: 'y' },
      { question: 'Which cluster?', answer: 'second' },
      { question: 'How many GPUs', answer: '2' },
    ];
    const child = execa('script', ['-qec', `node ${binPath} init`, '/dev/null'], {
      cwd: project,
      env: { ...inject('labEnvironment'), XDG_CONFIG_HOME, TERM: 'dumb' },
      all: true,
      reject: false,
      stdin: 'pipe',
    });
    let seen = '';
    child.stdout.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      const [next] = answers;
      if (!next || !seen.includes(next.question)) return;
      answers.shift();
      seen = '';
      child.stdin.write(`${next.answer}\n`);
    });
    const { exitCode } = await child;
    expect({ exitCode, unanswered: answers }).toEqual({ exitCode: 0, unanswered: [] });
    expect((await readConfig(project)).config).toMatchObject({
      cluster: 'second',
      resources: { gpus: { count: 2 }, partition: 'batch', account: 'research' },
    });
  });
});
