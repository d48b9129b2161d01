import { execa } from 'execa';
import { createHash, randomBytes } from 'node:crypto';
import { connect, createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { startSshd, type ExtraSshd } from './extra-sshd.js';
import { binPath, errorOf, farRoot, hpcrun, makePythonProject, onLogin, startHpcrun, testSandboxName } from './lab.js';
import { typeInto } from './typing.js';

let project = '';
let runId = '';

async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 400; tries += 1) {
    if (await isTrue()) return;
    await sleep(250);
  }
  throw new Error(`gave up waiting until ${what}`);
}

/** Starts hpcrun with pipes on all sides. */
function start(args: string[], input: 'pipe' | 'ignore' = 'pipe') {
  const env = { ...inject('labEnvironment'), CI: '1' };
  return execa('node', [binPath, ...args], {
    cwd: project,
    env,
    reject: false,
    stdin: input,
    encoding: 'buffer',
    stripFinalNewline: false,
  });
}

/** Whether a process with exactly this command line runs on one of the nodes. */
async function runsOnNodes(commandLine: string): Promise<boolean> {
  const found = await Promise.all(
    ['c1', 'c2'].map((node) =>
      execa('docker', ['exec', `${testSandboxName}-${node}`, 'pgrep', '-xf', commandLine], { reject: false }),
    ),
  );
  return found.some(({ exitCode }) => exitCode === 0);
}

async function submit(args: string[]): Promise<string> {
  const { objects, stderr } = await hpcrun(['submit', '--json', ...args], { cwd: project });
  expect(objects, stderr).toHaveLength(1);
  return (objects[0] as { runId: string }).runId;
}

/** Starts `forward`, and gives what it prints first. */
async function forward(args: string[]) {
  const child = startHpcrun(['forward', '--json', ...args], { cwd: project });
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  await until('it listens', () => Promise.resolve(printed.includes('\n')));
  return { child, said: JSON.parse(printed.split('\n')[0] ?? '') as { url: string; localPort: number; port: number } };
}

async function get(url: string): Promise<string> {
  return await (await fetch(url)).text();
}

async function end(child: ReturnType<typeof startHpcrun>): Promise<void> {
  child.kill('SIGINT');
  expect((await child).exitCode).toBe(0);
}

beforeAll(async () => {
  project = await makePythonProject({ 'slow.py': 'import time\nopen("/tmp/mark", "w")\ntime.sleep(3000)\n' });
  await onLogin('mkdir -p ~/inside-data && echo 42 >~/inside-data/answer');
  runId = await submit(['--gpus', '1', '-e', "WORDS=it's $HOME", '-v', '~/inside-data:/data:ro', 'slow.py']);
});

afterAll(async () => {
  await hpcrun(['cancel', runId], { cwd: project });
});

describe('hpcrun exec', () => {
  it('has the variables, binds, scratch, GPUs and work copy of the job', async () => {
    await until('the job runs', async () => (await hpcrun(['exec', runId, 'true'], { cwd: project })).exitCode === 0);
    const script =
      'echo "$WORDS|$SLURM_JOB_ID|$CUDA_VISIBLE_DEVICES"; cat /data/answer; ls /tmp /workspace; ls /dev/nvidia0';
    const { stdout, exitCode } = await hpcrun(['exec', runId, 'sh', '-c', script], { cwd: project });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^it's \$HOME\|\d+\|0\n42\n\/tmp:\nmark\n\n\/workspace:\n[^]*slow.py\n\/dev\/nvidia0$/);
    expect(await onLogin(`stat -c %a ${farRoot}/runs/${runId}/state/enter.sh`)).toBe('600');
  });

  it('keeps both outputs apart, and passes on the status', async () => {
    const result = await hpcrun(['exec', runId, 'sh', '-c', 'echo out; echo err >&2; test -t 1 || exit 7'], {
      cwd: project,
    });
    expect(result).toMatchObject({ stdout: 'out', stderr: 'err', exitCode: 7 });
    expect((await hpcrun(['exec', runId, 'no-such-program'], { cwd: project })).exitCode).toBe(127);
  });

  it('pipes any bytes through a command', async () => {
    const bytes = randomBytes(3_000_000);
    const child = start(['exec', runId, '-i', 'cat']);
    child.stdin?.end(bytes);
    const { stdout, exitCode } = await child;
    expect(exitCode).toBe(0);
    expect(createHash('sha256').update(stdout).digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  it('gives Ctrl-C to the command', async () => {
    const script =
      'import sys, time\ntry:\n    print("go", flush=True)\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    sys.exit(9)';
    const child = start(['exec', runId, 'python3', '-c', script], 'ignore');
    child.stdout.once('data', () => child.kill('SIGINT'));
    expect((await child).exitCode).toBe(9);
  });

  it.each([[['sleep', '6001']], [['-it', 'sleep', '6002']]])('ends %s when hpcrun is killed', async (command) => {
    const words = command.filter((word) => word !== '-it');
    // A terminal of its own for the one that wants one.
    const line = `exec node ${binPath} exec ${runId} ${command.join(' ')}`;
    const child = command.includes('-it')
      ? execa('script', ['-qec', line, '/dev/null'], {
          cwd: project,
          env: inject('labEnvironment'),
          reject: false,
          stdin: 'pipe',
        })
      : start(['exec', runId, ...command], 'ignore');
    await until('it runs', () => runsOnNodes(`/usr/bin/${words.join(' ')}`));
    child.kill('SIGKILL');
    await until('it has ended', async () => !(await runsOnNodes(`/usr/bin/${words.join(' ')}`)));
    await child;
  });

  it('is a terminal with -it', async () => {
    const { output, exitCode, unasked } = await typeInto(['exec', runId, '-it', 'bash', '--norc'], {
      cwd: project,
      reactions: [
        ['> ', 'test -t 0 && test -t 1 && echo "$TERM $((6 * 7))"'],
        ['dumb 42', 'exit 5'],
      ],
    });
    expect(unasked).toEqual([]);
    expect(output).toContain('exit 5');
    expect(exitCode).toBe(5);
  });

  it('says so without a terminal, and of runs that have ended', async () => {
    expect(errorOf(await hpcrun(['exec', '--json', '-t', runId, 'sh'], { cwd: project })).code).toBe('USAGE');
    const ended = await submit(['--', 'true']);
    await hpcrun(['wait', ended], { cwd: project });
    const result = await hpcrun(['exec', '--json', ended, 'true'], { cwd: project });
    expect(errorOf(result)).toMatchObject({
      code: 'RUN_NOT_RUNNING',
      message: expect.stringContaining('COMPLETED') as string,
    });
    expect(await onLogin(`ls ${farRoot}/runs/${ended}/state`)).not.toContain('enter.sh');
  });
});

describe('hpcrun forward', () => {
  let sshd: ExtraSshd | undefined;
  afterAll(async () => {
    await sshd?.stop();
  });

  it('reaches a service of --template service, which chose its port and a token that nobody else can read', async () => {
    const script =
      'import http.server, os, sys\nprint(os.environ["HPCRUN_TOKEN"] == os.environ["JUPYTER_TOKEN"], flush=True)\nhttp.server.test(http.server.SimpleHTTPRequestHandler, bind="127.0.0.1", port=int(sys.argv[1]))\n';
    const service = await submit(['--template', 'service', '--', 'python3', '-c', script, '{port}']);
    const { child, said } = await forward([service]);
    const [port = '', token = ''] = (await onLogin(`cat ${farRoot}/runs/${service}/state/service`)).split('\n');
    expect(await onLogin(`stat -c %a ${farRoot}/runs/${service}/state/service`)).toBe('600');
    expect(said).toMatchObject({ port: Number(port), url: `http://127.0.0.1:${said.localPort}/?token=${token}` });
    // It may not be up yet: such a connection is refused, and the next one is tried.
    await until('it is up', () =>
      get(said.url).then(
        () => true,
        () => false,
      ),
    );
    expect(await get(said.url)).toContain('slow.py');
    await hpcrun(['cancel', service], { cwd: project });
    expect((await child).exitCode).toBe(0);

    const waiting = startHpcrun(
      ['submit', '--wait', '--json', '--template', 'service', '--', 'python3', '-c', script, '{port}'],
      {
        cwd: project,
      },
    );
    let printed = '';
    waiting.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
    });
    await until('it prints the URL', () => Promise.resolve(printed.includes('"forward"')));
    const { url } = JSON.parse(printed.split('\n')[1] ?? '') as { url: string };
    await until('it is up', () =>
      get(url).then(
        () => true,
        () => false,
      ),
    );
    await end(waiting);
    await hpcrun(['cancel', '@last'], { cwd: project });
  });

  it.each([
    ['yes', 'ssh2'],
    ['no', 'ssh2'],
    ['yes', 'openssh'],
  ])('reaches a port that sshd may lead to: %s, with %s', async (allowed, transport) => {
    sshd = await startSshd(2301, [`AllowTcpForwarding=${allowed}`]);
    const { host, port, identityFile, knownHostsFile } = sshd.target;
    const cluster = { host, port, user: 'researcher', identityFile, knownHostsFile, root: farRoot, transport };
    const other = await makePythonProject({
      'hpcrun.yaml': `cluster: other\nclusters: ${JSON.stringify({ other: cluster })}\n`,
    });
    const server = await submit(['--', 'python3', '-m', 'http.server', '8123']);
    onTestFinished(async () => {
      await hpcrun(['cancel', server], { cwd: project });
      await hpcrun(['wait', server], { cwd: project });
    });
    const child = startHpcrun(['forward', server, '0:8123'], { cwd: other });
    let printed = '';
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
    });
    await until('it listens', () => Promise.resolve(printed.includes('\n')));
    const [url = ''] = printed.split('\n');
    await until('it is up', () =>
      get(url).then(
        () => true,
        () => false,
      ),
    );
    const pages = await Promise.all(Array.from({ length: 4 }, () => get(url)));
    expect(pages.every((page) => page.includes('slow.py'))).toBe(true);
    await end(child);
    // The first connection may have met a service that was just coming up.
    const ways = (await child).stderr.split('\n').filter((line) => line.startsWith('Connections go'));
    expect(ways.at(-1)).toContain(allowed === 'yes' ? 'from the login node' : 'by a command on the login node');
    await sshd.stop();
    sshd = undefined;
  });

  it('listens on this machine only, and says when the port is taken', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    const refused = await hpcrun(['forward', '--json', runId, `${port}:9`], { cwd: project });
    expect(errorOf(refused).code).toBe('PORT_IN_USE');
    taken.close();
    const { child, said } = await forward([runId, '0:9']);
    // Nothing listens there: the connection ends, the forward does not.
    const socket = connect(said.localPort, '127.0.0.1');
    socket.on('error', () => undefined);
    await new Promise((resolve) => socket.once('close', resolve));
    await end(child);
  });
});

describe('hpcrun shell', () => {
  it('runs a command in an allocation of its own, which ends with it', async () => {
    const child = start([
      'shell',
      '--gpus',
      '1',
      '--',
      'sh',
      '-c',
      'cat; echo "$CUDA_VISIBLE_DEVICES" >made.txt; exit 6',
    ]);
    child.stdin?.end('typed\n');
    const { stdout, exitCode } = await child;
    expect([Buffer.from(stdout).toString(), exitCode]).toEqual(['typed\n', 6]);
    const waited = await hpcrun(['wait', '@last'], { cwd: project });
    expect(waited.exitCode).toBe(6);
    await hpcrun(['pull-results', '@last', '--to', `${project}/pulled`], { cwd: project });
    expect((await execa('cat', [`${project}/pulled/made.txt`])).stdout).toMatch(/^\d$/);
  });

  it('is a shell on a terminal, and gives the allocation back when it is cut off', async () => {
    const typed = await typeInto(['shell'], { cwd: project, reactions: [['> ', 'echo "in $HPCRUN_RUN_ID"; exit 3']] });
    expect(typed).toMatchObject({ exitCode: 3, unasked: [] });
    expect(typed.output).toMatch(/in \d{8}-\d{6}-/);
    const child = start(['shell', '--', 'sleep', '6003'], 'ignore');
    await until('it runs', () => runsOnNodes('/usr/bin/sleep 6003'));
    child.kill('SIGKILL');
    await until('the job has ended', async () => {
      const { objects } = await hpcrun(['status', '@last', '--json'], { cwd: project });
      return objects[0]?.state === 'FAILED';
    });
    expect(await runsOnNodes('/usr/bin/sleep 6003')).toBe(false);
    await child;
  });

  it('cancels a job that is still waiting when it is interrupted', async () => {
    const child = startHpcrun(['shell', '--sbatch-arg=--hold', '--', 'true'], { cwd: project });
    await until('it waits', async () => (await onLogin('squeue -h -t PENDING -o %j')).includes('shell'));
    child.kill('SIGINT');
    expect((await child).exitCode).toBe(130);
    expect(await onLogin('squeue -h -t PENDING -o %j')).toBe('');
  });
});
