import { execa } from 'execa';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { copySandboxKey, farRoot, hpcrun, makePythonProject, onLogin } from './lab.js';

const awkward = [
  'with space',
  `"double" and 'single'`,
  'line\nbreak',
  '$(touch /tmp/pwned) `id` $HOME',
  '--dash',
  '',
  'a,b=c\\n',
  'Grüße ☃',
];

const dumpScript = `import json, os, sys
json.dump({"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "files": sorted(os.listdir("."))},
          open("dump.json", "w"))
`;

interface Dump {
  argv: string[];
  env: Record<string, string>;
  cwd: string;
  files: string[];
}

/** Submits, waits, pulls and reads what dump.py wrote. */
async function dump(project: string, args: string[], env: Record<string, string> = {}): Promise<Dump> {
  const run = await hpcrun(['submit', '--json', '--wait', ...args], { cwd: project, env });
  expect(run.stderr).toBe('');
  expect(run.exitCode).toBe(0);
  const target = join(project, 'hpcrun-results', 'pulled');
  await hpcrun(['pull-results', '--to', target], { cwd: project });
  return JSON.parse(await readFile(join(target, 'dump.json'), 'utf8')) as Dump;
}

describe('what a job sees', () => {
  it('gets arguments, variables and file names unchanged', async () => {
    const names = ['name with space', `quote'"`, 'new\nline', 'ünïcødé ☃', '-dash', '$(id)'];
    const project = await makePythonProject({
      'dump.py': dumpScript,
      ...Object.fromEntries(names.map((name) => [name, name])),
    });
    const seen = await dump(
      project,
      ['--env', 'TRICKY=$HOME `id` "q" \'s\', a,b', '--env', 'FROM_HERE', '--env', 'MULTI=a\nb', 'dump.py', ...awkward],
      { FROM_HERE: 'local value', LEAK: 'must not arrive' },
    );
    expect(seen.argv).toEqual(awkward);
    expect(seen.env).toMatchObject({ TRICKY: '$HOME `id` "q" \'s\', a,b', FROM_HERE: 'local value', MULTI: 'a\nb' });
    expect(seen.env).not.toHaveProperty('LEAK');
    expect(seen.env.SLURM_JOB_ID).toMatch(/^\d+$/);
    expect(seen.cwd).toBe('/workspace');
    expect(seen.files).toEqual(expect.arrayContaining(names));
    expect(await onLogin('ls /tmp')).not.toContain('pwned');
  });

  it('runs a script in a subdirectory from there, a command behind --, and binds', async () => {
    const project = await makePythonProject({ 'dump.py': dumpScript, 'sub/dump.py': dumpScript });
    await onLogin('mkdir -p ~/data && echo 42 >~/data/answer');
    const inSub = await hpcrun(
      ['submit', '--wait', '-v', '~/data:/data:ro', '--', 'sh', '-c', 'cat /data/answer; echo x >/data/x'],
      {
        cwd: join(project, 'sub'),
      },
    );
    expect(inSub.stdout).toMatch(/^42\n.*Read-only file system/s);
    expect(inSub.exitCode).not.toBe(0);
    const script = await hpcrun(['submit', '--json', '--wait', 'dump.py'], { cwd: join(project, 'sub') });
    expect(script.exitCode).toBe(0);
    const { runId } = script.objects[0] as { runId: string };
    const seen = JSON.parse(await onLogin(`cat ${farRoot}/runs/${runId}/work/sub/dump.json`)) as Dump;
    expect(seen.cwd).toBe('/workspace/sub');
  });

  it('keeps secrets out of the script, the record and the process list', async () => {
    const project = await makePythonProject({
      'hpcrun.yaml': 'cluster: sandbox\nsecrets: [TOKEN]\n',
      'dump.py': dumpScript,
    });
    const seen = await dump(project, ['dump.py'], { TOKEN: 's3cr3t-value' });
    expect(seen.env.TOKEN).toBe('s3cr3t-value');
    const holders = await onLogin(`grep -rl s3cr3t-value ${farRoot}/runs --include='*' | grep -v dump.json`);
    expect(holders).toMatch(/\/env$/);
    expect(await onLogin(`stat -c %a ${holders}`)).toBe('600');
  });

  it('reports the exit status of a script that fails', async () => {
    const project = await makePythonProject({ 'fail.py': 'import sys\nprint("about to fail")\nsys.exit(7)\n' });
    const waited = await hpcrun(['submit', '--wait', 'fail.py'], { cwd: project });
    expect(waited.exitCode).toBe(7);
    expect(waited.stdout).toContain('about to fail');
    expect((await hpcrun(['wait'], { cwd: project })).exitCode).toBe(7);
    const status = await hpcrun(['status', '@last', '--json'], { cwd: project });
    expect(status.objects).toMatchObject([{ type: 'run', state: 'FAILED', exitCode: 7, name: 'fail' }]);
  });
});

describe('a run while it runs', () => {
  let project: string;
  beforeAll(async () => {
    project = await makePythonProject({
      'slow.py': 'import time\nfor i in range(600):\n    print("tick", i, flush=True)\n    time.sleep(0.5)\n',
    });
  });

  it('is followed, cancelled once, and reported as cancelled', async () => {
    await hpcrun(['submit', '--json', '--name', 'to-cancel', 'slow.py'], { cwd: project });
    const followed = hpcrun(['logs', '-f', 'to-cancel'], { cwd: project });
    await expect
      .poll(async () => (await hpcrun(['logs', 'to-cancel'], { cwd: project })).stdout, {
        timeout: 60_000,
        interval: 1000,
      })
      .toContain('tick 3');
    const running = await hpcrun(['status', 'to-cancel', '--json'], { cwd: project });
    expect(running.objects).toMatchObject([{ state: 'RUNNING', exitCode: null }]);
    const cancelled = await hpcrun(['cancel', 'to-cancel', '--json'], { cwd: project });
    expect(cancelled.objects).toMatchObject([{ type: 'cancelled', cancelled: true }]);
    expect((await followed).stdout).toMatch(/^tick 0\ntick 1\ntick 2\ntick 3\n/);
    expect((await hpcrun(['wait', 'to-cancel'], { cwd: project })).exitCode).not.toBe(0);
    expect((await hpcrun(['status', 'to-cancel', '--json'], { cwd: project })).objects).toMatchObject([
      { state: 'CANCELLED' },
    ]);
    expect((await hpcrun(['cancel', 'to-cancel', '--json'], { cwd: project })).objects).toMatchObject([
      { cancelled: false },
    ]);
    expect(await onLogin('pgrep -c tail || true')).toBe('0');
  });

  it('is known to a second laptop, which can pull its results', async () => {
    const writer = await makePythonProject({ 'write.py': 'open("out.txt", "w").write("from the first laptop")\n' });
    await hpcrun(['submit', '--wait', '--name', 'shared', 'write.py'], { cwd: writer });
    const elsewhere = await makePythonProject({});
    const { stdout: home } = await execa('mktemp', ['-d']);
    // A laptop of its own, but for the key of the sandbox.
    const env = { XDG_STATE_HOME: home };
    await copySandboxKey(home);
    const status = await hpcrun(['status', '--json'], { cwd: elsewhere, env });
    expect(status.objects.map(({ name }) => name)).toContain('shared');
    const pulled = await hpcrun(['pull-results', 'shared', '--to', 'here', '--json'], { cwd: elsewhere, env });
    expect(pulled.objects.at(-1)).toMatchObject({ files: 1 });
    expect(await readFile(join(elsewhere, 'here', 'out.txt'), 'utf8')).toBe('from the first laptop');
  });
});
