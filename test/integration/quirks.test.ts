import { execa } from 'execa';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import type { QuirkName } from '../../src/sandbox/quirks.js';
import {
  binPath,
  errorOf,
  hpcrun,
  loginContainer,
  makePythonProject,
  sandboxCluster,
  sandboxClusterPath,
  testSandboxName,
} from './lab.js';

const nodes = ['login', 'c1', 'c2'];

/** On every node at once, as sandbox/quirk.sh is meant to be used. */
async function switchQuirks(state: 'on' | 'off', quirks: QuirkName[]): Promise<void> {
  await Promise.all(
    nodes.map((node) => execa('docker', ['exec', `${testSandboxName}-${node}`, 'quirk', state, ...quirks])),
  );
}

const script = `import pathlib, sys
print("to the log:", *sys.argv[1:])
pathlib.Path("answer.txt").write_text("42\\n")
`;

/** `sandbox` as others would configure it: with either transport, and with roots where nothing is yet. */
type ClusterName = 'ssh2' | 'openssh' | 'ssh2-anew' | 'openssh-anew';

let project = '';
beforeAll(async () => {
  const sandbox = await sandboxCluster();
  const clusters = {
    ssh2: sandbox,
    openssh: { ...sandbox, transport: 'openssh' },
    'ssh2-anew': { ...sandbox, root: '$HOME/anew-ssh2' },
    'openssh-anew': { ...sandbox, transport: 'openssh', root: '$HOME/anew-openssh' },
  } satisfies Record<ClusterName, object>;
  const configuration = JSON.stringify({ cluster: 'ssh2', clusters });
  project = await makePythonProject({ 'work.py': script, 'hpcrun.yaml': configuration });
});

let current: QuirkName[] = [];
async function meet(...quirks: QuirkName[]): Promise<void> {
  current = quirks;
  await switchQuirks('on', quirks);
  // Each quirk is met by a machine that has learned nothing of the cluster.
  const { XDG_STATE_HOME = '' } = inject('labEnvironment');
  await execa('find', [XDG_STATE_HOME, '-name', 'facts.json', '-delete']);
}
afterEach(async () => {
  const quirks = current;
  current = [];
  if (quirks.length > 0) await switchQuirks('off', quirks);
});
afterAll(async () => {
  const left = await execa('docker', ['exec', loginContainer, 'quirk', 'list']);
  expect(left.stdout).toBe('');
});

/** The way of a run from submit to its results, as a user goes it; every step has to be silent but for its result. */
async function goTheWholeWay(name: string, options: { cwd: string; env?: Record<string, string>; submit?: string[] }) {
  const { submit = [], ...where } = options;
  const cli = async (args: string[]) => {
    const result = await hpcrun(args, where);
    expect(result.exitCode, `${args.join(' ')}: ${result.stderr}`).toBe(0);
    return result;
  };
  const submitted = await cli(['submit', '--json', ...submit, 'work.py', name, 'a "b" $c']);
  expect(submitted.stderr).toBe('');
  const runId = String(submitted.objects.at(-1)?.runId);
  const output = `to the log: ${name} a "b" $c`;
  // Until the job has ended.
  expect((await cli(['logs', '--follow', runId])).stdout).toBe(output);
  expect((await cli(['status', '--json', runId])).objects).toMatchObject([{ runId, state: 'COMPLETED', exitCode: 0 }]);
  expect((await cli(['logs', runId])).stdout).toBe(output);
  await cli(['pull-results', '--json', runId]);
  expect(await readFile(join(where.cwd, 'hpcrun-results', runId, 'answer.txt'), 'utf8')).toBe('42\n');
}

interface Row {
  quirks: [QuirkName, ...QuirkName[]];
  /** One after the other. */
  clusters: ClusterName[];
  /** Options of submit that the site's rule demands. */
  submit?: string[];
}

// What the login shell does, and what the server allows, is met by each transport in its own way.
const rows: Row[] = [
  { quirks: ['tcsh'], clusters: ['ssh2', 'openssh'] },
  { quirks: ['fish'], clusters: ['ssh2', 'openssh'] },
  { quirks: ['zsh'], clusters: ['ssh2', 'openssh'] },
  { quirks: ['bash-sh'], clusters: ['ssh2'] },
  { quirks: ['noisy-rc'], clusters: ['ssh2', 'openssh'] },
  { quirks: ['noisy-rc', 'tcsh', 'no-sftp'], clusters: ['ssh2'] },
  { quirks: ['slow-rc'], clusters: ['ssh2'] },
  { quirks: ['exec-rc'], clusters: ['ssh2', 'openssh'] },
  { quirks: ['no-sftp'], clusters: ['ssh2-anew', 'openssh'] },
  { quirks: ['max-sessions-1'], clusters: ['ssh2-anew', 'openssh-anew'] },
  { quirks: ['max-startups-1'], clusters: ['ssh2', 'openssh'] },
  { quirks: ['other-home'], clusters: ['ssh2'] },
  { quirks: ['modules'], clusters: ['ssh2', 'openssh'] },
  { quirks: ['modules', 'singularity', 'fish'], clusters: ['ssh2'] },
  { quirks: ['compute-only-apptainer'], clusters: ['ssh2-anew'] },
  { quirks: ['singularity'], clusters: ['ssh2'] },
  { quirks: ['reject-mem'], clusters: ['ssh2'] },
  { quirks: ['require-account'], clusters: ['ssh2'], submit: ['--account', 'research'] },
];

describe('submit, status, logs and pull-results', () => {
  afterEach(async () => {
    await execa('docker', ['exec', loginContainer, 'sh', '-c', 'rm -rf /home/researcher/anew-*']);
  });

  it.each(rows.map((row) => ({ ...row, title: `${row.quirks.join(' + ')}, with ${row.clusters.join(' and ')}` })))(
    'work under $title',
    async ({ quirks, clusters, submit = [] }) => {
      await meet(...quirks);
      for (const cluster of clusters) {
        await goTheWholeWay(quirks[0], { cwd: project, submit, env: { HPCRUN_CLUSTER: cluster } });
      }
    },
  );
});

describe('a cluster whose /bin/sh is bash', () => {
  const cli = (...args: string[]) => hpcrun(args, { cwd: project });

  it('has jobs that can be entered', async () => {
    await meet('bash-sh');
    const { objects } = await cli('submit', '--json', '--', 'sleep', '300');
    const runId = String(objects.at(-1)?.runId);
    const isRunning = async () => (await cli('exec', runId, 'true')).exitCode === 0;
    while (!(await isRunning())) await new Promise((resolve) => setTimeout(resolve, 500));
    const entered = await cli('exec', runId, 'sh', '-c', 'echo in; echo aside >&2; exit 7');
    expect(entered).toMatchObject({ exitCode: 7, stdout: 'in', stderr: 'aside' });
    expect((await cli('cancel', runId)).exitCode).toBe(0);
  });

  it('takes sweeps', async () => {
    await meet('bash-sh');
    const { objects } = await cli('submit', '--json', '--sweep', 'i=1..3', 'work.py', '{i}');
    const runId = String(objects.at(-1)?.runId);
    expect((await cli('wait', runId)).exitCode).toBe(0);
    expect((await cli('logs', `${runId}.1`)).stdout).toBe('to the log: 2');
  });
});

describe('a server that allows one session', () => {
  it('serves submit --wait, whose output comes while SLURM is asked', async () => {
    await meet('max-sessions-1');
    for (const cluster of ['ssh2', 'openssh']) {
      const result = await hpcrun(['submit', '--wait', '--cluster', cluster, 'work.py', 'waiting'], { cwd: project });
      expect(result).toMatchObject({ exitCode: 0, stdout: 'to the log: waiting' });
    }
  });
});

describe('a cluster behind a gateway and without accounting', () => {
  const name = `${testSandboxName}-far`;
  const env = { HPCRUN_SANDBOX_NAME: name, HPCRUN_CLUSTER: 'sandbox' };
  const inSandbox = async (args: string[]) => {
    await execa('node', [binPath, 'sandbox', ...args], { env: { ...inject('labEnvironment'), ...env } });
  };

  beforeAll(async () => {
    const quirks: QuirkName[] = ['gateway', 'no-accounting'];
    await inSandbox(['up', '--nodes', '1', ...quirks.flatMap((quirk) => ['--quirk', quirk])]);
  });
  afterAll(async () => {
    await inSandbox(['down', '--keep-images']);
  });

  it.each(['ssh2', 'openssh'])('works with %s', async (transport) => {
    // The key of the gateway is known to the sandbox's own cluster only, not to the user's ssh.
    await writeFile(sandboxClusterPath(name), JSON.stringify({ ...(await sandboxCluster(name)), transport }));
    await goTheWholeWay('gateway', { cwd: project, env });
  });
});

/** Runs hpcrun on a terminal of its own (script, util-linux) and answers what the login asks. */
async function withAnswers(args: string[]): Promise<{ output: string; questions: number }> {
  const { XDG_STATE_HOME = '', HPCRUN_SANDBOX_NAME = '' } = inject('labEnvironment');
  const state = join(XDG_STATE_HOME, 'hpcrun', 'sandboxes', HPCRUN_SANDBOX_NAME);
  const password = (await readFile(join(state, 'password'), 'utf8')).trim();
  const input = await readFile(join(state, 'totp-secret'), 'utf8');
  const child = execa('script', ['-qec', `node ${binPath} ${args.join(' ')}`, '/dev/null'], {
    cwd: project,
    env: { ...inject('labEnvironment'), TERM: 'dumb' },
    reject: false,
    stdin: 'pipe',
  });
  let seen = '';
  let output = '';
  let questions = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    seen += chunk.toString();
    const asked = /Password: $|Verification code: $/.exec(seen);
    if (!asked) return;
    seen = '';
    questions += 1;
    const oathtool = () =>
      execa('docker', ['exec', '-i', loginContainer, 'oathtool', '--totp', '--base32', '-'], { input });
    const answer = asked[0].startsWith('Password') ? Promise.resolve({ stdout: password }) : oathtool();
    void answer.then(({ stdout }) => child.stdin.write(`${stdout}\n`));
  });
  const { exitCode } = await child;
  expect(exitCode, output).toBe(0);
  return { output, questions };
}

describe('a login that asks for a one-time code', () => {
  it.each([
    { quirk: 'key-totp', each: 1 },
    { quirk: 'password-totp', each: 2 },
  ] as const)('can be answered under $quirk', async ({ quirk, each }) => {
    await meet(quirk);
    const submitted = await withAnswers(['submit', 'work.py', quirk]);
    expect(submitted.questions).toBe(each);
    const runId = /\d{8}-\d{6}-[0-9a-z]+/.exec(submitted.output)?.[0] ?? '';
    expect((await withAnswers(['wait', runId])).questions).toBe(each);
    expect((await withAnswers(['status', runId])).output).toContain('COMPLETED');
    expect((await withAnswers(['logs', runId])).output).toContain(`to the log: ${quirk}`);
    await withAnswers(['pull-results', runId]);
    expect(await readFile(join(project, 'hpcrun-results', runId, 'answer.txt'), 'utf8')).toBe('42\n');
  });

  it('is refused where nobody can answer, without a word of the secret', async () => {
    await meet('key-totp');
    const result = await hpcrun(['status', '--json', '--no-input'], { cwd: project });
    expect(result.exitCode).toBe(5);
    expect(errorOf(result).message).toContain('Verification code');
  });
});

describe('a site with rules', () => {
  it("refuses --memory in SLURM's own words", async () => {
    await meet('reject-mem');
    const result = await hpcrun(['submit', '--json', '--memory', '100M', 'work.py'], { cwd: project });
    expect(result.exitCode).toBe(7);
    expect(errorOf(result)).toMatchObject({ code: 'SLURM_REFUSED' });
    expect(errorOf(result).message).toContain('--mem is not allowed here');
    expect(errorOf(result).hint).toContain('--memory');
  });

  it('names the accounts of a user who has given none', async () => {
    await meet('require-account');
    const result = await hpcrun(['submit', '--json', 'work.py'], { cwd: project });
    expect(result.exitCode).toBe(7);
    expect(errorOf(result).message).toContain('No account given');
    expect(errorOf(result).hint).toContain('--account research');
  });
});
