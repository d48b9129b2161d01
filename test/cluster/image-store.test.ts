import { chmod, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderMakeStore } from '../../src/cluster/image-store.js';
import { renderUseMarks } from '../../src/cluster/image-uses.js';
import { RemoteLayout } from '../../src/cluster/layout.js';
import { quote } from '../../src/ssh/quote.js';
import { scriptPrelude } from '../../src/ssh/remote-script.js';
import { runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const group = runShell('sh', 'id -gn').stdout.trim();
const user = runShell('sh', 'id -un').stdout.trim();
const modeOf = async (path: string) => ((await stat(path)).mode & 0o7777).toString(8);

async function makeLayout(): Promise<RemoteLayout> {
  const directory = await makeTemporaryDirectory();
  return new RemoteLayout(join(directory, 'root'), join(directory, 'above', 'store'));
}

describe.each(['dash', 'bash'])('renderMakeStore under %s', (shell) => {
  const make = (layout: RemoteLayout, name: string | undefined) =>
    runShell(shell, scriptPrelude + renderMakeStore(layout, name));

  it("makes a user's own store for nobody else", async () => {
    const layout = await makeLayout();
    expect(make(layout, undefined)).toEqual({ stdout: '', stderr: '', status: 0 });
    expect(await Promise.all([layout.images, layout.uses].map(modeOf))).toEqual(['700', '700']);
  });

  it("makes a group's store for its members to add to, below a directory they can pass", async () => {
    const layout = await makeLayout();
    make(layout, group);
    expect(make(layout, group)).toEqual({ stdout: '', stderr: '', status: 0 });
    expect(await Promise.all([layout.store, layout.images, layout.uses].map(modeOf))).toEqual(['3770', '3770', '3770']);
    expect(await modeOf(join(layout.store, '..'))).toBe('755');
    expect(runShell('sh', `ls -A ${quote(layout.store)}`).stdout).toBe('images\nuses\n');
  });

  it('opens a store to a group that was made without one, with the images in it', async () => {
    const layout = await makeLayout();
    make(layout, undefined);
    const image = layout.image('5e'.repeat(32));
    await writeFile(image, '');
    await chmod(image, 0o400);
    expect(make(layout, group)).toMatchObject({ stderr: '', status: 0 });
    expect(await Promise.all([layout.images, layout.uses, image].map(modeOf))).toEqual(['3770', '3770', '440']);
  });

  it('says so where the user is not in the group', async () => {
    const layout = await makeLayout();
    const { status, stderr } = make(layout, 'no-such-group');
    expect(status).toBe(1);
    expect(stderr).toMatch(/is for the group no-such-group, and you are not in it\. Your groups: /);
  });
});

describe.each(['dash', 'bash'])('renderUseMarks under %s', (shell) => {
  const [base, overlay] = ['5e'.repeat(32), '0a'.repeat(32)];

  it('leaves a mark for each image and writes the job down in it', async () => {
    const layout = await makeLayout();
    const marks = scriptPrelude + renderUseMarks(layout, [base, overlay, base], undefined);
    expect(runShell(shell, `${marks}mark_uses; record_use 41; record_use 42`)).toEqual({
      stdout: '',
      stderr: '',
      status: 0,
    });
    for (const sha256 of [base, overlay]) {
      expect(runShell('sh', `cat ${quote(`${layout.uses}/${sha256}.${user}`)}`).stdout).toBe('41\n42\n');
      expect(await modeOf(`${layout.uses}/${sha256}.${user}`)).toBe('600');
    }
    expect(runShell('sh', `ls ${quote(layout.uses)} | wc -l`).stdout.trim()).toBe('2');
  });

  it("lets a group read them, and brings a mark's time and the image's up to date", async () => {
    const layout = await makeLayout();
    const marks = scriptPrelude + renderMakeStore(layout, group) + renderUseMarks(layout, [base], group);
    runShell(shell, `${marks}mark_uses`);
    const [mark, image] = [`${layout.uses}/${base}.${user}`, layout.image(base)];
    expect(await modeOf(mark)).toBe('640');
    runShell('sh', `touch ${quote(image)}; touch -d @1 ${quote(image)} ${quote(mark)}`);
    runShell(shell, `${marks}mark_uses`);
    for (const path of [image, mark]) expect((await stat(path)).mtimeMs).toBeGreaterThan(1e12);
  });

  it('follows no link that somebody has put there', async () => {
    const layout = await makeLayout();
    await mkdir(layout.uses, { recursive: true });
    const precious = join(layout.store, 'precious');
    await writeFile(precious, 'mine');
    runShell('sh', `ln -s ${quote(precious)} ${quote(`${layout.uses}/${base}.${user}`)}`);
    const marks = scriptPrelude + renderUseMarks(layout, [base], group);
    const { status, stderr } = runShell(shell, `${marks}mark_uses; record_use 41`);
    expect(status).toBe(1);
    expect(stderr).toContain('is not your own file');
    expect(runShell('sh', `cat ${quote(precious)}`).stdout).toBe('mine');
  });
});
