import { execa } from 'execa';
import { chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { emptyImage } from '../../src/image/engine.js';
import { withImageFiles } from '../../src/run/image-files.js';
import { failureOf } from '../support/failure.js';
import { binPath, errorOf, hpcrun, makeProject, pythonDockerfile, startHpcrun, testSandboxName } from './lab.js';

const dockerfile = `${pythonDockerfile}RUN useradd --create-home aiguru && mkdir -p /cache /opt/app /filled/deep /workspace/full && touch /workspace/full/hidden && echo image >/filled/deep/file
ENV FROM_IMAGE=x my.var=1
VOLUME /cache /filled /workspace/full
USER aiguru
WORKDIR /opt/app
`;

const dumpScript = `import getpass, json, os, sys
def can_write(path):
    try:
        open(os.path.join(path, "probe"), "w").close()
        return True
    except OSError:
        return False
places = ["/", "/etc", "/opt/app", "/home/aiguru", "/tmp", "/var/tmp", "/dev/shm", "/cache", "/filled", os.environ["HOME"], "."]
status = open("/proc/self/status").read()
json.dump({"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "files": sorted(os.listdir(".")),
    "uid": os.getuid(), "user": getpass.getuser(), "umask": os.umask(0), "writable": [p for p in places if can_write(p)],
    "capabilities": [line.split()[1] for line in status.splitlines() if line.startswith("Cap")],
    "noNewPrivileges": "NoNewPrivs:\\t1" in status, "pid": os.getpid(), "networks": os.listdir("/sys/class/net"),
    "shm": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize}, open("dump.json", "w"))
os.remove("probe")
`;

interface Dump {
  argv: string[];
  env: Record<string, string>;
  cwd: string;
  files: string[];
  uid: number;
  user: string;
  umask: number;
  writable: string[];
  capabilities: string[];
  noNewPrivileges: boolean;
  pid: number;
  networks: string[];
  shm: number;
}

/** No cluster is known to these projects. */
const makeLocalProject = (files: Record<string, string>) => makeProject({ Dockerfile: dockerfile, ...files });

async function containersOf(): Promise<string> {
  const { stdout } = await execa('docker', ['ps', '--all', '--quiet', '--filter', 'label=hpcrun.local']);
  return stdout;
}

/** Of the local run of a project the files that stayed. */
async function resultsOf(project: string): Promise<string[]> {
  const entries = await readdir(join(project, 'hpcrun-results'), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory() && entry.name !== '.gitignore')
    .map((entry) => join(entry.parentPath, entry.name).replace(/^.*hpcrun-results\/local-[^/]*\//, ''))
    .sort();
}

async function dump(cwd: string, args: string[], env: Record<string, string> = {}): Promise<Dump> {
  const run = await hpcrun(['run', '--json', ...args], { cwd, env });
  expect(run.exitCode).toBe(0);
  const { results } = run.objects.at(-1) as { results: { directory: string } };
  const kept = await readdir(results.directory, { recursive: true, withFileTypes: true });
  const [file, ...others] = kept.filter((entry) => !entry.isDirectory());
  expect(others).toEqual([]);
  return JSON.parse(await readFile(join(file?.parentPath ?? '', 'dump.json'), 'utf8')) as Dump;
}

describe('hpcrun run', () => {
  it('shows a program what a job would see', async () => {
    const project = await makeLocalProject({
      'sub/dump.py': dumpScript,
      '.hpcrunignore': 'secret.csv',
      'secret.csv': '',
    });
    const awkward = ['with space', `"double" and 'single'`, 'line\nbreak', '$(id) $HOME', '--dash', '', 'Grüße ☃'];
    const seen = await dump(
      join(project, 'sub'),
      ['-e', 'MULTI=a\nb', '-e', 'FROM_HERE', '-e', 'DOCKER_HOST=nowhere', '--cpus', '1', 'dump.py', ...awkward],
      { FROM_HERE: 'local value', LEAK: 'must not arrive' },
    );
    expect(seen.argv).toEqual(awkward);
    expect(seen.cwd).toBe('/workspace/sub');
    expect(seen.env).toMatchObject({
      ...{ FROM_IMAGE: 'x', MULTI: 'a\nb', FROM_HERE: 'local value', DOCKER_HOST: 'nowhere' },
      ...{ SLURM_CPUS_PER_TASK: '1', HPCRUN_RESULTS: '/workspace', LANG: 'C.UTF-8' },
    });
    expect(Object.keys(seen.env)).not.toEqual(expect.arrayContaining(['LEAK']));
    expect(seen.env).not.toHaveProperty(['my.var']);
    expect(seen.umask).toBe(0o022);
    expect(seen.pid).not.toBe(1);
    expect(seen.shm).toBeGreaterThan(64 * 2 ** 20);
  });

  it('gives it the rights of a job, and the writable places of one', async () => {
    const seen = await dump(await makeLocalProject({ 'dump.py': dumpScript }), ['--offline', 'dump.py']);
    expect(seen.uid).not.toBe(0);
    expect(seen.user).not.toBe('');
    expect(new Set(seen.capabilities)).toEqual(new Set(['0000000000000000']));
    expect(seen.noNewPrivileges).toBe(true);
    expect(seen.writable).toEqual(['/tmp', '/var/tmp', '/dev/shm', '/cache', seen.env.HOME, '.']);
    expect(seen.networks).toEqual(['lo']);
  });

  it('does not show files that would not be sent, and leaves the project alone', async () => {
    const project = await makeLocalProject({ 'a.txt': 'old', '.hpcrunignore': 'data\n', 'data/x': '1' });
    const run = await hpcrun(['run', '--', 'sh', '-c', 'cat a.txt; echo new >a.txt; cat data/x'], { cwd: project });
    expect(run.stdout).toBe('old');
    expect(run.stderr).toMatch(/data\/x: No such file[^]*Exit status 1; 1 file .* in hpcrun-results\/local-/);
    expect(await readFile(join(project, 'a.txt'), 'utf8')).toBe('old');
    const [directory = ''] = (await readdir(join(project, 'hpcrun-results'))).filter((name) => name !== '.gitignore');
    const result = join(project, 'hpcrun-results', directory, 'a.txt');
    expect(await readFile(result, 'utf8')).toBe('new\n');
    expect((await stat(result)).uid).toBe((await stat(project)).uid);
  });

  it.each([
    ['its own', ['sh', '-c', 'exit 7'], 7],
    ["its own, also where it could be the engine's", ['sh', '-c', 'echo mine >&2; exit 125'], 125],
    ['its own, also where it talks as the engine does', ['sh', '-c', 'echo "docker: mine" >&2; exit 125'], 125],
    ['126 for what is no program', ['/etc/hostname'], 126],
    ['127 for what is not there', ['no-such-program'], 127],
  ])('exits with %s', async (_, command, expected) => {
    const run = await hpcrun(['run', '--', ...command], { cwd: await makeLocalProject({}) });
    expect(run.exitCode).toBe(expected);
  });

  it('keeps what a job has written that ends as the engine does when it fails', async () => {
    const project = await makeLocalProject({});
    const script = 'echo 1 >model; echo "docker: no such device" >&2; exit 125';
    const run = await hpcrun(['run', '--', 'sh', '-c', script], { cwd: project });
    expect(run.exitCode).toBe(125);
    expect(run.stderr).toContain('docker: no such device');
    expect(await resultsOf(project)).toEqual(['model']);
  });

  it('leaves a VOLUME that holds something as it is, and the project where one lies in it', async () => {
    const project = await makeLocalProject({ 'full/mine': 'of the project' });
    const script = 'cat /filled/deep/file full/mine; ls -A /cache; echo 1 >full/result';
    const run = await hpcrun(['run', '--', 'sh', '-c', script], { cwd: project });
    expect(run.stdout).toBe('image\nof the project');
    expect(await resultsOf(project)).toEqual(['full/result']);
  });

  it('binds below the project for an ordinary user, and takes no place of a bind for a result', async () => {
    const project = await makeLocalProject({ 'data.csv': 'of the project', 'deep/a': '' });
    const outside = await mkdtemp(join(tmpdir(), `${testSandboxName}-project-`));
    await writeFile(join(outside, 'list'), 'bound\n');
    // Whoever may use the engine: the group of its socket.
    const engineGroup = (await stat('/var/run/docker.sock')).gid;
    const user = process.getuid?.() === 0 ? { uid: 12345, gid: engineGroup } : {};
    if (user.uid !== undefined) for (const path of [project, outside]) await chown(path, user.uid, user.gid);
    const binds = ['', '/list:/workspace/new/list', ':/workspace/new/data', ':/tmp/a/b', '/list:/workspace/data.csv'];
    const args = binds.flatMap((bind) => (bind === '' ? [] : ['-v', `${outside}${bind}`]));
    const script = 'cat new/list new/data/list /tmp/a/b/list data.csv; echo 1 >result; exit 5';
    const env = { HOME: outside, XDG_CACHE_HOME: outside, XDG_STATE_HOME: outside, XDG_CONFIG_HOME: outside, CI: '1' };
    try {
      const run = await execa('node', [binPath, 'run', ...args, '--', 'sh', '-c', script], {
        ...{ cwd: project, reject: false, stdin: 'ignore', env, ...user },
      });
      expect(run.stdout).toBe('bound\nbound\nbound\nbound');
      expect(run.exitCode).toBe(5);
      expect(await resultsOf(project)).toEqual(['result']);
      expect(await readdir(join(outside, 'hpcrun', 'local'))).toEqual([]);
    } finally {
      await rm(outside, { recursive: true, force: true });
    }
  });

  it('takes the words of submit that mean nothing here', async () => {
    const options = ['--convert', 'native', '--no-cache', '--wait', '--time', '1h', '--no-input'];
    const run = await hpcrun(['run', ...options, '--', 'true'], { cwd: await makeLocalProject({}) });
    expect(run.exitCode).toBe(0);
  });

  it('does as Docker with --entrypoint, --workdir, -i, --env-file and binds', async () => {
    const project = await makeLocalProject({
      'hpcrun.yaml': 'binds: [$NOWHERE/data:/data:ro]\n',
      variables: 'A=1 # b\n',
    });
    await mkdir(join(project, 'sample'));
    const script = 'cat; pwd; echo "$A"; ls -d /data; touch /data/x';
    const args = ['-i', '--rm', '-w', '/opt/app', '--entrypoint', 'sh', '--env-file', 'variables'];
    const piped = await execa('node', [binPath, 'run', ...args, '-v', './sample:/data:ro', '--', '-c', script], {
      ...{ cwd: project, input: 'from standard input\n', reject: false },
      env: { ...inject('labEnvironment'), CI: '1' },
    });
    expect(piped.stdout).toBe('from standard input\n/opt/app\n1 # b\n/data');
    expect(piped.stderr).toContain('Read-only file system');
  });

  it('passes Ctrl-C on, and the container is gone', async () => {
    const project = await makeLocalProject({
      'slow.py':
        'import time\ntry:\n    print("started", flush=True)\n    time.sleep(300)\nexcept KeyboardInterrupt:\n' +
        '    open("checkpoint", "w").write("saved")\n    raise SystemExit(9)\n',
    });
    const run = startHpcrun(['run', 'slow.py'], { cwd: project });
    for await (const line of run) if (line === 'started') run.kill('SIGINT');
    const { exitCode, stderr } = await run;
    expect(exitCode).toBe(9);
    expect(stderr).toMatch(/1 file .* in hpcrun-results/);
    expect(await containersOf()).toBe('');
  });

  it('leaves a job that saves what it has more time than five seconds', async () => {
    const project = await makeLocalProject({
      'slow.py':
        'import signal, time\ndef save(*_):\n    time.sleep(7)\n    open("checkpoint", "w").write("saved")\n' +
        '    raise SystemExit(9)\nsignal.signal(signal.SIGTERM, save)\nprint("started", flush=True)\ntime.sleep(300)\n',
    });
    const run = startHpcrun(['run', 'slow.py'], { cwd: project });
    // execa's own kill would be followed by SIGKILL.
    for await (const line of run) if (line === 'started') process.kill(run.pid ?? 0, 'SIGTERM');
    expect((await run).exitCode).toBe(9);
    expect(await resultsOf(project)).toEqual(['checkpoint']);
    expect(await containersOf()).toBe('');
  });

  it('ends a job on SIGTERM, as scancel does', async () => {
    const run = startHpcrun(['run', '--', 'sh', '-c', 'echo started; sleep 300'], { cwd: await makeLocalProject({}) });
    for await (const line of run) if (line === 'started') run.kill('SIGTERM');
    expect((await run).exitCode).toBe(143);
    expect(await containersOf()).toBe('');
  });

  it('keeps secrets out of every command line', async () => {
    const project = await makeLocalProject({ 'hpcrun.yaml': 'secrets: [TOKEN]\n' });
    const env = { TOKEN: 's3cr3t-value' };
    const run = startHpcrun(['run', '--', 'sh', '-c', 'echo $TOKEN; sleep 3'], { cwd: project, env });
    let processes = '';
    for await (const line of run) {
      if (line === env.TOKEN) processes = (await execa('ps', ['axww', '-o', 'args'])).stdout;
    }
    expect(processes).toContain('--env TOKEN');
    expect(processes).not.toContain(env.TOKEN);
  });
});

describe('what hpcrun run refuses', () => {
  it.each<[string, string[], string, RegExp]>([
    ['binds that are not here', ['-v', '$NOWHERE/data:/data', '--', 'true'], 'BIND_SOURCE_MISSING', /\$NOWHERE\/data/],
    ['a working directory Docker would make', ['-w', '/opt/missing', '--', 'true'], 'USAGE', /\/opt\/missing/],
    ['a terminal where there is none', ['-it', '--', 'true'], 'USAGE', /terminal/],
    ["an engine's error", ['-p', 'nonsense', '--', 'true'], 'ENGINE_FAILED', /nonsense|port/i],
  ])('%s', async (_, args, code, message) => {
    const project = await makeLocalProject({});
    const run = await hpcrun(['run', '--json', ...args], { cwd: project });
    expect(errorOf(run)).toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect(run.stdout).toBe('');
    expect(await readdir(join(project, 'hpcrun-results')).catch(() => [])).not.toContainEqual(
      expect.stringMatching(/^local-/),
    );
  });

  it('a name that is taken, whose container it leaves alone', async () => {
    const name = 'hpcrun-test-taken';
    await execa('docker', ['run', '--detach', '--rm', '--name', name, 'debian:trixie-slim', 'sleep', '300']);
    try {
      const run = await hpcrun(['run', '--name', name, '--', 'true'], { cwd: await makeLocalProject({}) });
      expect(run.exitCode).toBe(3);
      expect(run.stderr).toMatch(/already in use[^]*another --name|--name/);
      expect(run.stderr.match(/already in use/g)).toHaveLength(1);
      const { stdout } = await execa('docker', ['ps', '--quiet', '--filter', `name=${name}`]);
      expect(stdout).not.toBe('');
    } finally {
      await execa('docker', ['rm', '--force', name]);
    }
  });
});

describe('withImageFiles', () => {
  const exported = async (format: string) => {
    const filters = ['--filter', 'label=hpcrun.export', '--filter', 'label=hpcrun-test=files'];
    return (await execa('docker', ['ps', '--all', ...filters, '--format', format])).stdout;
  };
  const lend = async (look: Parameters<typeof withImageFiles>[3]) => {
    const scratch = await mkdtemp(join(tmpdir(), `${testSandboxName}-project-`));
    const dockerfile =
      'FROM debian:trixie-slim\nRUN mkdir -p /filled/Grüße /empty && echo a >/filled/file && ln -s /filled /link\n' +
      'LABEL hpcrun-test=files\nVOLUME /filled /empty /link /missing\n';
    const { stdout: id } = await execa('docker', ['build', '--quiet', '-'], { input: dockerfile });
    const image = { ...emptyImage, id, volumes: ['/empty', '/filled', '/link', '/missing'] };
    const signal = new AbortController().signal;
    try {
      return await withImageFiles('docker', image, { scratch, signal }, look);
    } finally {
      await rm(scratch, { recursive: true, force: true });
      await execa('docker', ['image', 'rm', '--force', id]);
    }
  };

  it('sees what an image holds, also where it has a VOLUME', async () => {
    await lend(async (files) => {
      expect(await files.read('/filled/file')).toBe('a\n');
      expect(await files.read('/missing')).toBe('');
      expect(await files.read('/etc/passwd/below')).toBe('');
      const places = ['/filled', '/filled/Grüße', '/link', '/empty', '/missing', '/etc/passwd'];
      const answers: [boolean, boolean][] = [];
      for (const path of places) answers.push([await files.hasDirectory(path), await files.isEmpty(path)]);
      expect(answers).toEqual([
        ...[
          [true, false],
          [true, true],
          [true, false],
          [true, true],
          [false, true],
          [false, false],
        ],
      ]);
    });
    expect(await exported('{{.ID}}')).toBe('');
  });

  it('says so where the engine fails, and marks its container as one that may be removed', async () => {
    const failure = await failureOf(() =>
      lend(async (files) => {
        const [id = '', made = ''] = (await exported('{{.ID}} {{.Label "hpcrun.export"}}')).split(' ');
        expect(made).toMatch(new RegExp(`^\\d+:${process.pid}:`));
        await execa('docker', ['rm', '--force', id]);
        await files.read('/etc/passwd');
      }),
    );
    expect(failure.code).toBe('ENGINE_FAILED');
  });
});

describe('hpcrun run --dry-run', () => {
  it('prints a command of Docker and does nothing', async () => {
    const project = await makeLocalProject({ 'train.py': '' });
    const args = ['run', '--dry-run', '--memory', '2G', '-e', 'A=secret', 'train.py', 'a b'];
    const run = await hpcrun(args, { cwd: project });
    expect(run.stdout).toMatch(/^docker run --rm[^]*--memory 2147483648[^]*--env A [^]* train\.py 'a b'$/);
    expect(run.stdout).not.toContain('secret');
    expect(await readdir(project)).toEqual(['Dockerfile', 'train.py']);
  });
});
