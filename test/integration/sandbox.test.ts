import { execa } from 'execa';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hpcrun, makePythonProject, testSandboxName } from './lab.js';

async function leftovers(name: string): Promise<string> {
  const filter = `label=hpcrun.sandbox=${name}`;
  const lists = await Promise.all([
    execa('docker', ['ps', '-aq', '--filter', filter]),
    execa('docker', ['volume', 'ls', '-q', '--filter', filter]),
    execa('docker', ['network', 'ls', '-q', '--filter', filter]),
  ]);
  return lists.map(({ stdout }) => stdout).join('');
}

const name = `${testSandboxName}-small`;

// A run of the tests that was cut off may have left one behind.
const takeDown = () =>
  hpcrun(['sandbox', 'down', '--keep-images'], { cwd: tmpdir(), env: { HPCRUN_SANDBOX_NAME: name } });
beforeAll(takeDown);
afterAll(takeDown);

describe('hpcrun sandbox', () => {
  it('comes up once, runs jobs without accounting, and leaves nothing behind', async () => {
    const state = await mkdtemp(join(tmpdir(), 'hpcrun-state-'));
    const env = { HPCRUN_SANDBOX_NAME: name, XDG_STATE_HOME: state };
    const cwd = await makePythonProject({ 'ok.py': 'print("ok")\n', 'fail.py': 'raise SystemExit(5)\n' });
    const up = await hpcrun(['sandbox', 'up', '--nodes', '1', '--no-accounting', '--json'], { cwd, env });
    expect(up.exitCode).toBe(0);
    expect(up.objects).toMatchObject([{ type: 'sandbox', state: 'up', nodes: [{ name: 'c1', state: 'idle' }] }]);
    const containers = await execa('docker', ['ps', '-q', '--no-trunc', '--filter', `label=hpcrun.sandbox=${name}`]);

    const again = await hpcrun(['sandbox', 'up', '--json'], { cwd, env });
    expect(again.objects).toMatchObject([{ state: 'up', login: up.objects[0]?.login }]);
    expect((await execa('docker', ['ps', '-q', '--no-trunc', '--filter', `label=hpcrun.sandbox=${name}`])).stdout).toBe(
      containers.stdout,
    );
    const other = await hpcrun(['sandbox', 'up', '--nodes', '3', '--json'], { cwd, env });
    expect(other.exitCode).toBe(3);

    const run = await hpcrun(['submit', '--wait', 'ok.py'], { cwd, env });
    expect(run.stdout).toBe('ok');
    expect((await hpcrun(['submit', '--wait', 'fail.py'], { cwd, env })).exitCode).toBe(5);
    const status = await hpcrun(['status', '--json'], { cwd, env });
    expect(status.objects).toMatchObject([
      { state: 'FAILED', exitCode: 5 },
      { state: 'COMPLETED', exitCode: 0 },
    ]);

    await execa('docker', ['stop', '-t', '1', `${name}-login`, `${name}-c1`]);
    expect((await hpcrun(['sandbox', 'status', '--json'], { cwd, env })).objects).toMatchObject([{ state: 'stopped' }]);
    const restarted = await hpcrun(['sandbox', 'up', '--json'], { cwd, env });
    expect(restarted.objects).toMatchObject([{ state: 'up', login: up.objects[0]?.login }]);
    expect((await hpcrun(['status', '--json'], { cwd, env })).objects).toHaveLength(2);

    expect((await hpcrun(['sandbox', 'down', '--keep-images'], { cwd, env })).exitCode).toBe(0);
    expect(await leftovers(name)).toBe('');
    const gone = await hpcrun(['submit', 'ok.py'], { cwd, env });
    expect(gone.exitCode).toBe(2);
    expect(gone.stderr).toContain('hpcrun sandbox up');
  });
});
