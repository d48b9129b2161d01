import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { git } from '../support/git.js';
import { copySandboxKey, hpcrun, makeProject, makePythonProject, onLogin, sandboxCluster, startHpcrun } from './lab.js';

const root = '/home/researcher/code-snapshots';

/** A project whose cluster is the sandbox with a root of its own. */
async function makeOwnProject(files: Record<string, string>, ownRoot = root): Promise<string> {
  const { port, identityFile, knownHostsFile } = await sandboxCluster();
  const place = { host: '127.0.0.1', user: 'researcher', port, identityFile, knownHostsFile };
  const cluster = { ...place, root: ownRoot, pollSeconds: 2 };
  const config = JSON.stringify({ cluster: 'own', clusters: { own: cluster } });
  return await makePythonProject({ 'hpcrun.yaml': config, ...files });
}

interface Submitted {
  runId: string;
  code: { treeHash: string };
}

/** Submits, waits for success, and gives what was submitted. */
async function submit(project: string, env: Record<string, string> = {}): Promise<Submitted> {
  const run = await hpcrun(['submit', '--json', '--wait', 'main.py'], { cwd: project, env });
  expect(run.exitCode, run.stderr).toBe(0);
  return run.objects.find(({ type }) => type === 'submitted') as unknown as Submitted;
}

const clean = (directory: string) => onLogin(`chmod -R u+w ${directory} 2>/dev/null; rm -rf ${directory}`);
const inode = (path: string) => onLogin(`stat -c %i ${path}`);
const leftovers = () => onLogin(`ls -A ${root}/runs ${root}/objects | grep '^\\.' || true`);

describe('code on the cluster', () => {
  let project: string;
  let first: Submitted;
  const snapshot = (run: Submitted) => `${root}/code/${run.code.treeHash}`;

  beforeAll(async () => {
    await clean(root);
    project = await makeOwnProject({
      'main.py': 'import data\nopen("data.py", "a").write("# changed by the job\\n")\nprint(data.value)\n',
      'data.py': 'value = 1\n',
      // Together with the next one more than is sent without asking.
      'large.txt': 'x'.repeat(1_200_000),
      "odd\n'name'": 'odd',
      ünicode: 'odder',
    });
    first = await submit(project);
  });

  it('keeps the contents of files apart from what jobs write', async () => {
    expect(await onLogin(`cat ${snapshot(first)}/data.py`)).toBe('value = 1');
    expect(await onLogin(`cat ${root}/runs/${first.runId}/work/data.py`)).toBe('value = 1\n# changed by the job');
    expect(await onLogin(`find ${root}/runs/${first.runId}/work -type f -links +1`)).toBe('');
    expect(await onLogin(`find ${root}/objects ${snapshot(first)} -type f -perm /222`)).toBe('');
    expect(await leftovers()).toBe('');
  });

  it('shares what has not changed between snapshots', async () => {
    await writeFile(join(project, 'data.py'), 'value = 2\n');
    const second = await submit(project);
    expect(second.code.treeHash).not.toBe(first.code.treeHash);
    expect(await inode(`${snapshot(second)}/large.txt`)).toBe(await inode(`${snapshot(first)}/large.txt`));
    expect(await onLogin(`cat ${snapshot(second)}/data.py`)).toBe('value = 2');
  });

  it('needs nothing new from a second laptop', async () => {
    const objects = () => onLogin(`ls -i ${root}/objects`);
    const before = await objects();
    const stateHome = await makeProject({});
    await copySandboxKey(stateHome);
    const run = await submit(project, { XDG_STATE_HOME: stateHome });
    expect(await objects()).toBe(before);
    await rm(join(project, 'ünicode'));
    const other = await submit(project, { XDG_STATE_HOME: stateHome });
    expect(other.code.treeHash).not.toBe(run.code.treeHash);
    expect(await objects()).toBe(before);
  });

  it('sends again what has gone from the cluster', async () => {
    await onLogin(`rm -f ${root}/objects/*`);
    await writeFile(join(project, 'data.py'), 'value = 3\n');
    const run = await submit(project);
    expect(await onLogin(`wc -c <${snapshot(run)}/large.txt; cat ${snapshot(run)}/data.py`)).toBe('1200000\nvalue = 3');
    expect(await leftovers()).toBe('');
  });

  it('mends a snapshot of which a file is gone or has another size', async () => {
    const run = await submit(project);
    for (const damage of ['rm -f large.txt', 'chmod u+w large.txt; truncate -s 5 large.txt']) {
      await onLogin(`cd ${snapshot(run)} && chmod u+w . && { ${damage}; }`);
      await submit(project);
      expect(await onLogin(`wc -c <${snapshot(run)}/large.txt`)).toBe('1200000');
    }
    expect(await leftovers()).toBe('');
  });

  it('keeps what the project had on top of its commit', async () => {
    git(project, 'init', '-q');
    git(project, 'add', 'main.py', 'data.py');
    git(project, 'commit', '-q', '-m', 'Begin');
    await writeFile(join(project, 'data.py'), 'value = 4\n');
    const run = await submit(project);
    const patch = await onLogin(`cat ${root}/runs/${run.runId}/changes.patch`);
    expect(patch).toContain('#   "large.txt"');
    expect(patch).toMatch(/^-value = 3\n\+value = 4$/m);
    expect(JSON.parse(await onLogin(`cat ${root}/runs/${run.runId}/run.json`))).toMatchObject({
      code: { git: { branch: 'main', isDirty: true } },
    });
    await clean(root);
  });
});

describe('hpcrun killed while code is sent', () => {
  it('leaves nothing that is used, and the next submit succeeds', async () => {
    const ownRoot = '/home/researcher/code-killed';
    await clean(ownRoot);
    const project = await makeOwnProject({ 'main.py': 'print("ok")\n' }, ownRoot);
    await submit(project);
    const random = Buffer.alloc(60_000_000);
    for (let at = 0; at < random.length; at += 4) random.writeUInt32LE(Math.floor(Math.random() * 2 ** 32), at);
    await writeFile(join(project, 'large.bin'), random);
    const victim = startHpcrun(['submit', 'main.py'], { cwd: project });
    await expect
      .poll(() => onLogin(`find ${ownRoot}/runs -path '*/.new-*/objects/*'`), { timeout: 60_000, interval: 10 })
      .not.toBe('');
    victim.kill('SIGKILL');
    await victim;
    await expect.poll(() => onLogin(`ls -A ${ownRoot}/runs | grep '^\\.' || true`), { timeout: 20_000 }).toBe('');
    const run = await submit(project);
    expect(await onLogin(`wc -c <${ownRoot}/code/${run.code.treeHash}/large.bin`)).toBe('60000000');
    await clean(ownRoot);
  });
});
