import { execa } from 'execa';
import { existsSync } from 'node:fs';
import { lstat, mkdir, readdir, readFile, stat, symlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { endOfTar, renderRawEntry, type RawEntry } from '../support/raw-tar.js';
import { hpcrun, makePythonProject, onLogin, startHpcrun } from './lab.js';
import { digestFarTree, digestTree, emptyDirectory, makeRun } from './made-run.js';

const ended = 'echo 0 >state/exit';
const plainEntry: RawEntry = {
  name: '',
  type: '0',
  mode: 0o644,
  mtime: 0,
  linkname: '',
  body: Buffer.from('ok\n'),
  longNames: 'gnu',
};

async function pull(runIds: string | string[], args: string[] = []) {
  const cwd = await emptyDirectory();
  const result = await hpcrun(
    ['pull-results', ...[runIds].flat(), '--cluster', 'sandbox', '--to', 'to', '--json', ...args],
    { cwd },
  );
  return { ...result, cwd, to: join(cwd, 'to') };
}

describe('pull-results', () => {
  it('brings small and large files with names of all kinds, times and executable bits, once', async () => {
    const { runId, directory } = await makeRun(`cd work
mkdir -p out/deep empty-directory
head -c 40000001 /dev/urandom >out/large.bin
printf '#!/bin/sh\\n' >out/run.sh; chmod 755 out/run.sh; : >out/empty
printf x >"$(printf 'new\\nline')"; printf y >'back\\slash'; printf z >'-dash'; printf u >'Grüße ☃'; printf e >"$(printf '\\033[2Jclear')"
printf l >"out/deep/$(head -c 200 /dev/zero | tr '\\0' n)"
ln -s large.bin out/latest; ln -s /workspace/out/large.bin by-mount
touch -d '2001-02-03 04:05:06.75' out/run.sh out/large.bin
cd ..; ${ended}`);
    const first = await pull(runId);
    expect(first.stderr).toBe('');
    expect(first.exitCode).toBe(0);
    expect(first.objects).toMatchObject([
      { type: 'pulled', runId, files: 11, refused: 0, failed: 0, beingWritten: 0, tooLarge: [] },
    ]);
    const here = await digestTree(first.to);
    expect(here.filter((line) => line.includes('->'))).toEqual([
      'by-mount -> out/large.bin',
      'out/latest -> large.bin',
    ]);
    expect(await readdir(first.to)).toEqual(
      expect.arrayContaining(['new\nline', 'back\\slash', '-dash', 'Grüße ☃', '\u001b[2Jclear']),
    );
    const far = await onLogin(`cd ${directory}/work && sha256sum out/large.bin out/run.sh`);
    for (const line of far.split('\n')) expect(here).toContain(line);
    const script = await stat(join(first.to, 'out/run.sh'));
    expect([script.mtimeMs, script.mode & 0o100]).toEqual([Date.parse('2001-02-03T04:05:06.750Z'), 0o100]);
    expect((await stat(join(first.to, 'out/large.bin'))).mtimeMs).toBe(script.mtimeMs);

    const again = await hpcrun(['pull-results', runId, '--cluster', 'sandbox', '--to', 'to', '--json'], {
      cwd: first.cwd,
    });
    expect(again.objects).toMatchObject([{ files: 0, bytes: 0 }]);
    await onLogin(`echo more >>${directory}/work/out/large.bin`);
    const changed = await hpcrun(['pull-results', runId, '--cluster', 'sandbox', '--to', 'to', '--json'], {
      cwd: first.cwd,
    });
    expect(changed.objects).toMatchObject([{ files: 1, bytes: 40_000_006 }]);
  });

  it('writes nothing outside of its directory and makes nothing special, whatever a run left behind', async () => {
    const { runId } = await makeRun(`cd work
ln -s /etc/passwd absolute; ln -s ../../../x up; mkfifo fifo; mkdir d; echo 1 >d/file
printf x >"$(printf 'not\\377utf8')"; echo x >.hpcrun-mine.part; echo ok >fine
cd ..; ${ended}`);
    const cwd = await emptyDirectory();
    const outside = await emptyDirectory();
    await mkdir(join(cwd, 'to'));
    await symlink(outside, join(cwd, 'to', 'd'));
    const { objects, stderr, exitCode } = await hpcrun(
      ['pull-results', runId, '--cluster', 'sandbox', '--to', 'to', '--json'],
      { cwd },
    );
    expect(exitCode).toBe(0);
    expect(objects).toMatchObject([{ files: 1, refused: 5 }]);
    expect(stderr.match(/was not pulled/g)).toHaveLength(5);
    expect((await readdir(join(cwd, 'to'))).sort()).toEqual(['d', 'fine']);
    expect(await readdir(outside)).toEqual([]);
    expect((await lstat(join(cwd, 'to', 'd'))).isSymbolicLink()).toBe(true);
  });

  it.each<[string, Partial<RawEntry>[], RegExp]>([
    ['a file that was not asked for', [{ name: 'work/ok' }, { name: 'work/other' }], /not asked for/],
    ['an absolute path', [{ name: '/tmp/pwned' }], /not asked for/],
    ['a path upwards', [{ name: 'work/../../pwned' }], /not asked for/],
    ['a file twice', [{ name: 'work/ok' }, { name: 'work/ok' }], /not asked for/],
    ['a hard link', [{ name: 'work/ok', type: '1', linkname: '/etc/passwd', body: Buffer.alloc(0) }], /no plain file/],
    ['a device', [{ name: 'work/ok', type: '3', body: Buffer.alloc(0) }], /no plain file/],
    ['another content', [{ name: 'work/ok', body: Buffer.from('no\n') }], /sha256 differs/],
    ['another size', [{ name: 'work/ok', body: Buffer.from('much more\n') }], /gone or cannot be read/],
  ])('refuses a far side that sends %s', async (_, entries, said) => {
    const { runId } = await makeRun(`echo ok >work/ok; ${ended}`);
    const tar = Buffer.concat([...entries.map((entry) => renderRawEntry({ ...plainEntry, ...entry })), endOfTar]);
    // The login shell's start-up file puts another program in place of GNU tar.
    await onLogin(`mkdir -p ~/fake; printf '#!/bin/sh\\ncat ~/fake/sent\\n' >~/fake/tar; chmod 755 ~/fake/tar
echo ${tar.toString('base64')} | base64 -d >~/fake/sent; cp ~/.bashrc ~/fake/bashrc; echo 'PATH=~/fake:$PATH' | cat - ~/fake/bashrc >~/.bashrc`);
    onTestFinished(async () => {
      await onLogin('cp ~/fake/bashrc ~/.bashrc; rm -r ~/fake');
    });
    const { exitCode, stderr, to } = await pull(runId);
    expect(stderr).toMatch(said);
    expect(exitCode).toBe(said.source.includes('plain') ? 0 : 6);
    const names = existsSync(to) ? await readdir(to) : [];
    expect(names.filter((name) => name !== 'ok')).toEqual([]);
    if (names.includes('ok')) expect(await readFile(join(to, 'ok'), 'utf8')).toBe('ok\n');
  });

  it('takes patterns and a largest size, and names what it left', async () => {
    const { runId } = await makeRun(
      `cd work; mkdir out; echo 1 >out/a.log; echo 2 >out/b.pt; echo 3 >c.log; echo 4 >d.tmp; head -c 5000 /dev/zero >out/big.pt; cd ..; ${ended}`,
      { resultsExclude: ['*.tmp'] },
    );
    const names = async (args: string[]) =>
      (await digestTree((await pull(runId, args)).to)).map((line) => line.slice(66));
    expect((await names(['--include', 'out/', '--exclude', '*.log'])).sort()).toEqual(['out/b.pt', 'out/big.pt']);
    expect((await names(['--exclude', '/out', '--exclude', '!*.tmp'])).sort()).toEqual(['c.log', 'd.tmp']);
    const limited = await pull(runId, ['--max-size', '4K']);
    expect(limited.objects).toMatchObject([{ files: 3, tooLarge: [{ path: 'out/big.pt', sizeBytes: 5000 }] }]);
    expect((await pull(runId, ['--max-size', 'much'])).exitCode).toBe(2);
  });

  it('pulls several runs, each into a directory of its own, and array tasks below their index', async () => {
    const one = await makeRun(`echo one >work/out.txt; ${ended}`);
    const array = await makeRun(`for task in 1 20; do
mkdir -p tasks/$task/work tasks/$task/state; touch tasks/$task/state/baseline; sleep 0.02; echo $task >tasks/$task/work/out.txt
done; ${ended}`);
    const { objects, to, exitCode } = await pull([one.runId, array.runId]);
    expect(exitCode).toBe(0);
    expect(objects).toMatchObject([
      { runId: one.runId, files: 1 },
      { runId: array.runId, files: 2 },
    ]);
    expect(await readFile(join(to, one.runId, 'out.txt'), 'utf8')).toBe('one\n');
    expect(await readFile(join(to, array.runId, '20', 'out.txt'), 'utf8')).toBe('20\n');
    expect(await readFile(join(to, array.runId, '1', 'out.txt'), 'utf8')).toBe('1\n');
  });

  it('leaves what is being written to for the next pull, or brings it as it is with --live', async () => {
    const { runId, directory } = await makeRun(
      `echo old >work/old; touch -d '1 minute ago' work/old; echo young >work/young`,
    );
    const careful = await pull(runId);
    expect(careful.objects).toMatchObject([{ files: 1, beingWritten: 1 }]);
    expect(await readdir(careful.to)).toEqual(['old']);
    const live = await pull(runId, ['--live']);
    expect(live.objects).toMatchObject([{ files: 2, beingWritten: 0 }]);
    await onLogin(`cd ${directory}; ${ended}`);
    const after = await hpcrun(['pull-results', runId, '--cluster', 'sandbox', '--to', 'to'], { cwd: careful.cwd });
    expect(after.stderr).toContain('Pulled 1 file');
    expect(await digestTree(careful.to)).toEqual(await digestFarTree(directory));
  });

  it('holds itself to --bwlimit', async () => {
    const { runId } = await makeRun(`head -c 3000000 /dev/urandom >work/a; ${ended}`);
    const startedAt = performance.now();
    expect((await pull(runId, ['--bwlimit', '1M'])).exitCode).toBe(0);
    // Three seconds by the limit itself: not how fast it is, but that it waits.
    expect(performance.now() - startedAt).toBeGreaterThan(2500);
  });

  it('watches a run from the queue to its end', async () => {
    const project = await makePythonProject({
      'steps.py': `import time
for step in range(3):
    open(f"step-{step}.txt", "w").write(str(step))
    time.sleep(9)
open("last.txt", "w").write("last")
`,
    });
    const submitted = await hpcrun(['submit', '--json', 'steps.py'], { cwd: project });
    expect(submitted.exitCode).toBe(0);
    const watched = await hpcrun(['pull-results', '--watch', '--to', 'watched', '--json'], { cwd: project });
    expect(watched.exitCode).toBe(0);
    expect(watched.objects.length).toBeGreaterThan(1);
    expect((await readdir(join(project, 'watched'))).sort()).toEqual([
      'last.txt',
      'step-0.txt',
      'step-1.txt',
      'step-2.txt',
    ]);
    expect(watched.objects.reduce((sum, { files }) => sum + Number(files), 0)).toBe(4);
  });

  it('ends a watch with a run that was cancelled, and at Ctrl-C with status 130 and nothing left there', async () => {
    const project = await makePythonProject({
      'slow.py': 'import time\nopen("early.txt", "w").write("x")\ntime.sleep(300)\n',
    });
    await hpcrun(['submit', '--json', 'slow.py'], { cwd: project });
    const interrupted = startHpcrun(['pull-results', '--watch', '--to', 'one'], { cwd: project });
    await sleep(5000);
    interrupted.kill('SIGINT');
    expect((await interrupted).exitCode).toBe(130);
    const watching = startHpcrun(['pull-results', '--watch', '--to', 'two'], { cwd: project });
    await sleep(3000);
    await hpcrun(['cancel', '@last'], { cwd: project });
    expect((await watching).exitCode).toBe(0);
    expect(await readdir(join(project, 'two'))).toEqual(['early.txt']);
    await expect.poll(() => onLogin("pgrep -f '[l]eft=' || true"), { timeout: 20_000 }).toBe('');
    expect((await execa('ls', ['-A', join(project, 'one')], { reject: false })).stdout).not.toContain('.part');
  });
});
