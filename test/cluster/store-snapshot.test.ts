import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { linkSync } from 'node:fs';
import { chmod, lstat, mkdir, readdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { RemoteLayout } from '../../src/cluster/layout.js';
import { discardTrees, objectName, objectsOf, renderFindUnusedObjects } from '../../src/cluster/objects.js';
import { packSnapshot, type Delivery } from '../../src/cluster/pack-snapshot.js';
import { takeSnapshot, type Snapshot } from '../../src/cluster/snapshot.js';
import {
  copyTree,
  forgive,
  linkComplaints,
  listingDigest,
  renderIsWhole,
  renderStoreSnapshot,
} from '../../src/cluster/store-snapshot.js';
import { quote } from '../../src/ssh/quote.js';
import { scriptPrelude } from '../../src/ssh/remote-script.js';
import { collect } from '../support/chunks.js';
import { failureOf } from '../support/failure.js';
import { runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree, type TreeEntry } from '../support/write-tree.js';

const missing = 92;

/** A cluster's root on this machine. What is read-only there is opened again for the clean-up. */
async function makeRoot(): Promise<RemoteLayout> {
  const root = await makeTemporaryDirectory();
  onTestFinished(() => void execFileSync('find', [root, '-type', 'd', '-exec', 'chmod', 'u+w', '{}', '+']));
  return new RemoteLayout(root);
}

async function makeProject(tree: Record<string, TreeEntry>): Promise<string> {
  const directory = await makeTemporaryDirectory();
  await writeTree(directory, tree);
  return directory;
}

const everything = (snapshot: Snapshot): Delivery => ({
  contents: new Set(objectsOf(snapshot).keys()),
  placement: 'link',
});
const nothing: Delivery = { contents: new Set(), placement: 'link' };

/** Sends a snapshot as a submission does. `cut`: how many bytes of the tar arrive. */
async function send(
  layout: RemoteLayout,
  snapshot: Snapshot,
  delivery: Delivery,
  { shell = '/bin/sh', cut = Infinity }: { shell?: string; cut?: number } = {},
) {
  const packer = pack();
  const temporary = 'runs/.new-20261122-081530-k3f9';
  const packed = packSnapshot(packer, snapshot, delivery, {
    temporary,
    objects: 'objects',
    objectsPath: layout.objects,
  }).then(() => {
    packer.finalize();
  });
  const tar = gzipSync(await collect(packer));
  await packed;
  const script = `${scriptPrelude}snapshot=${quote(layout.snapshot(snapshot.treeHash))}
objects=${quote(layout.objects)}
new=${quote(`${layout.root}/${temporary}`)}
${renderIsWhole(listingDigest(snapshot))}
${discardTrees}
${forgive}
trap 'discard_trees "$new"' EXIT
mkdir -p "$new" "$objects" ${quote(layout.code)}
try_disk forgive ${quote(linkComplaints)} tar -xzmf - -C ${quote(layout.root)}
${renderStoreSnapshot(delivery, missing)}`;
  return { ...runShell(shell, script, { input: tar.subarray(0, cut) }), bytes: tar.length };
}

const done = { status: 0, stdout: '', stderr: '' };

/** Sees to it that the snapshot on the far side is the project's tree, cannot be written to, and has left nothing else. */
async function expectStored(layout: RemoteLayout, snapshot: Snapshot): Promise<void> {
  const there = layout.snapshot(snapshot.treeHash);
  expect((await takeSnapshot(there)).treeHash).toBe(snapshot.treeHash);
  expect(execFileSync('find', [there, '!', '-type', 'l', '-perm', '/222'], { encoding: 'utf8' })).toBe('');
  expect(await readdir(layout.runs)).toEqual([]);
  const objects = await readdir(layout.objects);
  expect(objects.filter((name) => name.startsWith('.'))).toEqual([]);
}

const longPath = `${'d'.repeat(120)}/${'e'.repeat(120)}/${'f'.repeat(120)}/${'g'.repeat(60)}`;

const oddTree: Record<string, TreeEntry> = {
  'train.py': 'print(1)\n',
  'same content': 'print(1)\n',
  executable: { executable: 'print(1)\n' },
  'sub/empty': '',
  'sub/empty too': '',
  'empty executable': { executable: '' },
  [longPath]: 'deep',
  'far link': { link: longPath },
  dangling: { link: 'nowhere' },
  'ü\n"x"': 'odd',
  '漢字-😀': 'odder',
  '-rf': 'dash',
  '--checkpoint-action=exec=false': 'dashes',
  'back\\slash\\n': 'backslash',
  "it's $(false) `false`": 'quotes',
  ' blank ': 'blank',
  'Case/a': 'upper',
  'case/a': 'lower',
  '.new-x': 'hidden',
};

describe.each(['link', 'copy'] as const)('a snapshot whose files are placed by %s', (placement) => {
  it.each(['/bin/sh', 'bash'])('is the project, whatever its names (%s)', async (shell) => {
    const layout = await makeRoot();
    const directory = await makeProject(oddTree);
    await mkdir(join(directory, 'no/files'), { recursive: true });
    const snapshot = await takeSnapshot(directory);
    expect(await send(layout, snapshot, { ...everything(snapshot), placement }, { shell })).toMatchObject(done);
    await expectStored(layout, snapshot);
    const objects = await readdir(layout.objects);
    expect(objects.sort()).toEqual([...objectsOf(snapshot).keys()].sort());
  });

  it('can be empty', async () => {
    const layout = await makeRoot();
    const snapshot = await takeSnapshot(await makeProject({}));
    expect(await send(layout, snapshot, { ...nothing, placement })).toMatchObject(done);
    await expectStored(layout, snapshot);
  });

  it('needs no content that is there', async () => {
    const layout = await makeRoot();
    const directory = await makeProject({ ...oddTree, large: 'x'.repeat(1 << 20) });
    const first = await takeSnapshot(directory);
    await send(layout, first, { ...everything(first), placement });
    await writeFile(join(directory, 'train.py'), 'print(2)\n');
    await rename(join(directory, 'large'), join(directory, 'sub/moved'));
    const second = await takeSnapshot(directory);
    const changed = second.files.find(({ path }) => path === 'train.py');
    const contents = new Set([changed ? (objectName(changed) ?? '') : '']);
    expect(await send(layout, second, { contents, placement })).toMatchObject(done);
    await expectStored(layout, second);
    await expectStored(layout, first);
  });

  it('is not made, and said to be missing, while an object is missing', async () => {
    const layout = await makeRoot();
    const directory = await makeProject({ 'a.py': 'a', 'b.py': 'b' });
    const snapshot = await takeSnapshot(directory);
    const half = { contents: new Set([...objectsOf(snapshot).keys()].slice(1)), placement };
    expect(await send(layout, snapshot, half)).toMatchObject({ status: missing, stdout: 'missing code\n' });
    expect([await readdir(layout.code), await readdir(layout.runs)]).toEqual([[], []]);
    // What did arrive is kept.
    expect(await readdir(layout.objects)).toEqual([...half.contents]);
    const rest = { contents: new Set([...objectsOf(snapshot).keys()].slice(0, 1)), placement };
    expect(await send(layout, snapshot, rest)).toMatchObject(done);
    await expectStored(layout, snapshot);
  });

  it('holds nothing of a tar that was cut off', async () => {
    const layout = await makeRoot();
    const snapshot = await takeSnapshot(await makeProject({ 'a.py': 'a', 'b.bin': 'x'.repeat(10_000), 'c.py': 'c' }));
    const { bytes } = await send(await makeRoot(), snapshot, { ...everything(snapshot), placement });
    for (const cut of [0, 10, Math.floor(bytes / 3), Math.floor(bytes / 2), -20, -1]) {
      expect((await send(layout, snapshot, { ...everything(snapshot), placement }, { cut })).status).not.toBe(0);
      expect([await readdir(layout.code), await readdir(layout.runs)]).toEqual([[], []]);
    }
    expect(await send(layout, snapshot, { ...everything(snapshot), placement })).toMatchObject(done);
    await expectStored(layout, snapshot);
  });
});

describe('a snapshot of hard links', () => {
  it('shares its files with the objects and with other snapshots', async () => {
    const layout = await makeRoot();
    const directory = await makeProject({ 'a.py': 'same', 'b.py': 'same' });
    const first = await takeSnapshot(directory);
    await send(layout, first, everything(first));
    await writeFile(join(directory, 'c.py'), '');
    const second = await takeSnapshot(directory);
    await send(layout, second, nothing);
    const inode = async (path: string) => (await lstat(path)).ino;
    const [name = ''] = objectsOf(first).keys();
    const inodes = [
      await inode(join(layout.objects, name)),
      await inode(join(layout.snapshot(first.treeHash), 'a.py')),
      await inode(join(layout.snapshot(first.treeHash), 'b.py')),
      await inode(join(layout.snapshot(second.treeHash), 'a.py')),
    ];
    expect(new Set(inodes).size).toBe(1);
  });

  it.each<[string, (file: string) => Promise<void>]>([
    ['that has lost a file', (file) => rm(file)],
    [
      'whose file has another size, and with it the object',
      async (file) => {
        await chmod(file, 0o644);
        await truncate(file, 1);
      },
    ],
    [
      'in which a file has become a link',
      async (file) => {
        await rm(file);
        await symlink('b.py', file);
      },
    ],
  ])('replaces one %s', async (_, damage) => {
    const layout = await makeRoot();
    const snapshot = await takeSnapshot(await makeProject({ 'a.py': 'a file', 'b.py': 'another' }));
    await send(layout, snapshot, everything(snapshot));
    const there = layout.snapshot(snapshot.treeHash);
    await chmod(there, 0o755);
    await damage(join(there, 'a.py'));
    expect(await send(layout, snapshot, everything(snapshot))).toMatchObject(done);
    await expectStored(layout, snapshot);
    const [name = ''] = objectsOf(snapshot).keys();
    expect(await readFile(join(layout.objects, name), 'utf8')).toBe('a file');
  });

  it('refuses an object whose content is not what its name says', async () => {
    const layout = await makeRoot();
    const directory = await makeProject({ 'a.py': 'a' });
    const snapshot = await takeSnapshot(directory);
    const [file] = snapshot.files;
    if (file?.type !== 'file') throw new Error('the project is one file');
    const digest = '0'.repeat(64);
    const packer = pack();
    packer.entry({ name: `runs/.new-20261122-081530-k3f9/objects/${digest}-444`, mode: 0o444 }, 'a');
    packer.finalize();
    const tar = gzipSync(await collect(packer));
    const script = `${scriptPrelude}new=${quote(`${layout.runs}/.new-20261122-081530-k3f9`)}
objects=${quote(layout.objects)}
mkdir -p "$objects"
tar -xzmf - -C ${quote(layout.root)}
${renderStoreSnapshot(nothing, missing)}`;
    expect(runShell('/bin/sh', script, { input: tar })).toMatchObject({
      status: 1,
      stderr: 'the files of the project arrived damaged\n',
    });
    expect(await readdir(layout.objects)).toEqual([]);
  });

  it('renews an object that can take no more links, and says so by asking again', async () => {
    const layout = await makeRoot();
    const directory = await makeProject({ 'a.py': 'popular' });
    const first = await takeSnapshot(directory);
    await send(layout, first, everything(first));
    const [name = ''] = objectsOf(first).keys();
    const object = join(layout.objects, name);
    const crowd = await makeTemporaryDirectory();
    const limit = Array.from({ length: 66_000 }, (_, index) => join(crowd, String(index))).findIndex((path) => {
      try {
        linkSync(object, path);
        return false;
      } catch {
        return true;
      }
    });
    await writeFile(join(directory, 'b.py'), 'popular');
    const second = await takeSnapshot(directory);
    const result = await send(layout, second, nothing);
    // Where the file system knows no such limit, it goes well at once.
    if (limit !== -1) {
      expect(result).toMatchObject({ status: missing, stdout: 'missing code\n' });
      expect((await lstat(object)).nlink).toBe(1);
      expect(await send(layout, second, nothing)).toMatchObject(done);
    }
    await expectStored(layout, second);
    await expectStored(layout, first);
  });

  it('takes thousands of files of which one is new as little more than their names', async () => {
    const layout = await makeRoot();
    const tree = Object.fromEntries(
      Array.from({ length: 3000 }, (_, index) => [`src/${index % 30}/${index}.py`, `print("${index}")\n`.repeat(40)]),
    );
    const directory = await makeProject(tree);
    const first = await takeSnapshot(directory);
    const all = await send(layout, first, everything(first));
    expect(all).toMatchObject(done);
    await writeFile(join(directory, 'src/0/0.py'), 'print("changed")\n');
    const second = await takeSnapshot(directory);
    const contents = new Set([...objectsOf(second).keys()].filter((name) => !objectsOf(first).has(name)));
    const one = await send(layout, second, { contents, placement: 'link' });
    expect(one).toMatchObject(done);
    expect(one.bytes).toBeLessThan(3000 * 70);
    await expectStored(layout, second);
  }, 120_000);
});

describe('any sequence of trees, with any part of the objects there', () => {
  const content = fc.oneof(fc.constantFrom('', 'a', 'b', 'shared'), fc.string({ maxLength: 600 }));
  const entry: fc.Arbitrary<TreeEntry> = fc.oneof(
    { weight: 4, arbitrary: content },
    { weight: 2, arbitrary: content.map((executable) => ({ executable })) },
    { weight: 1, arbitrary: fc.constantFrom('x', 'd0/x', 'missing').map((link) => ({ link })) },
  );
  const name = fc.constantFrom('x', 'y', 'z w', "q'", '-n', 'é');
  const path = fc
    .tuple(fc.array(fc.constantFrom('d0', 'd1', 'D0'), { maxLength: 2 }), name)
    .map((parts) => parts.flat().join('/'));
  const tree = fc.dictionary(path, entry, { maxKeys: 12, noNullPrototype: true });
  const step = fc.record({ tree, lost: fc.nat(), placement: fc.constantFrom('link' as const, 'copy' as const) });

  it('gives snapshots that are equal to the trees', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 4 }), async (steps) => {
        const layout = await makeRoot();
        const stored: Snapshot[] = [];
        for (const { tree: files, lost, placement } of steps) {
          const snapshot = await takeSnapshot(await makeProject(files));
          await mkdir(layout.objects, { recursive: true });
          const present = await readdir(layout.objects);
          const victim = present[lost % Math.max(present.length, 1)];
          if (victim !== undefined && lost % 3 === 0) await rm(join(layout.objects, victim));
          const there = new Set(await readdir(layout.objects));
          const contents = new Set([...objectsOf(snapshot).keys()].filter((object) => !there.has(object)));
          expect(await send(layout, snapshot, { contents, placement })).toMatchObject(done);
          stored.push(snapshot);
        }
        for (const snapshot of stored) await expectStored(layout, snapshot);
      }),
      { numRuns: 25 },
    );
  }, 120_000);
});

describe('packSnapshot', () => {
  it.each<[string, (path: string) => Promise<void>]>([
    ['has grown', (path) => writeFile(path, 'print(1)\n# more\n')],
    ['has shrunk', (path) => writeFile(path, '')],
    ['has other content of the same size', (path) => writeFile(path, 'print(2)\n')],
    ['is gone', (path) => rm(path)],
  ])('fails for a file that %s since', async (_, change) => {
    const directory = await makeProject({ 'train.py': 'print(1)\n' });
    const snapshot = await takeSnapshot(directory);
    await change(join(directory, 'train.py'));
    const packer = pack();
    const draining = collect(packer).catch(() => undefined);
    const places = { temporary: 'new', objects: 'objects', objectsPath: '/objects' };
    const error = await failureOf(() => packSnapshot(packer, snapshot, everything(snapshot), places));
    packer.destroy();
    await draining;
    expect(error.code).toBe('CODE_UNSENDABLE');
    expect(error.message).toContain('train.py changed while it was being sent');
  });
});

describe('copy_tree', () => {
  // A cp that keeps hard links together, as some do that are not GNU's.
  const otherCp = `cp() {
  case $1 in --version) echo 'another cp';; -Rp) shift; command cp -a "$@";; *) command cp "$@";; esac
}`;

  it.each([
    ['of this machine', ''],
    ['that keeps hard links', otherCp],
  ])('makes files of their own, writable, with a cp %s', async (_, cp) => {
    const layout = await makeRoot();
    const directory = await makeProject({ 'a b.py': 'same', "it's\n.py": 'same', 'run.sh': { executable: 'same' } });
    const snapshot = await takeSnapshot(directory);
    await send(layout, snapshot, everything(snapshot));
    const work = join(layout.root, 'work');
    const script = `${scriptPrelude}${cp}\n${copyTree}
copy_tree ${quote(layout.snapshot(snapshot.treeHash))} ${quote(work)} && chmod -R u+w ${quote(work)}`;
    expect(runShell('/bin/sh', script)).toEqual(done);
    for (const name of await readdir(work)) {
      const stats = await lstat(join(work, name));
      expect([stats.nlink, stats.mode & 0o700]).toEqual([1, name === 'run.sh' ? 0o700 : 0o600]);
    }
    expect((await takeSnapshot(work)).treeHash).toBe(snapshot.treeHash);
    await expectStored(layout, snapshot);
  });
});

describe('house-keeping of objects', () => {
  it('finds those that no snapshot uses and that are older than a day', async () => {
    const layout = await makeRoot();
    const old = await takeSnapshot(await makeProject({ a: 'shared', b: 'of the old one', c: 'young' }));
    await send(layout, old, everything(old));
    const kept = await takeSnapshot(await makeProject({ a: 'shared' }));
    await send(layout, kept, nothing);
    const [, unused = '', young = ''] = objectsOf(old).keys();
    for (const name of await readdir(layout.objects)) {
      if (name !== young) execFileSync('touch', ['-d', '2 days ago', join(layout.objects, name)]);
    }
    const find = () => runShell('/bin/sh', renderFindUnusedObjects(layout)).stdout;
    expect(find()).toBe('');
    const discarded = `${discardTrees}\ndiscard_trees ${quote(layout.snapshot(old.treeHash))}`;
    expect(runShell('/bin/sh', discarded)).toEqual(done);
    expect(find()).toBe(`${join(layout.objects, unused)}\n`);
    expect(await readdir(layout.code)).toEqual([kept.treeHash]);
    await expectStored(layout, kept);
  });
});
