import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseRecord, RecordStore, renderRecord } from '../../src/run/record.js';
import { runRecord } from '../support/run-record.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

describe('a record as text', () => {
  it.each([
    runRecord(),
    runRecord({ jobId: null, binds: [], resources: {}, code: { treeHash: 'x', files: 0, git: null } }),
    runRecord({ command: ['sh', '-c', 'echo "$HOME"\n'], resultsExclude: ['*\u0000?'] }),
  ])('comes back as it was', (record) => {
    expect(parseRecord(renderRecord(record))).toEqual(record);
  });

  it.each([
    ['no JSON', '{'],
    ['another version', JSON.stringify({ ...runRecord(), schemaVersion: 2 })],
    ['an id that is a path', JSON.stringify(runRecord({ runId: '../../etc' }))],
    ['a missing part', JSON.stringify({ ...runRecord(), root: undefined })],
    ['a time that is none', JSON.stringify(runRecord({ createdAt: 'yesterday' }))],
  ])('is refused with %s', (_, text) => {
    expect(() => parseRecord(text)).toThrow();
  });
});

const ignore = () => undefined;

describe('RecordStore', () => {
  const ids = ['20261122-100000-bbbb', '20261121-100000-cccc', '20261122-110000-aaaa'];

  it('keeps records, lists them from the oldest and forgets those that are removed', async () => {
    const store = new RecordStore(await makeTemporaryDirectory(), ignore);
    expect(await store.list()).toEqual([]);
    expect(await store.load(ids[0] ?? '')).toBeUndefined();
    for (const runId of ids) await store.save(runRecord({ runId }));
    expect((await store.list()).map(({ runId }) => runId)).toEqual([...ids].sort());
    expect(await store.load('20261121-100000-cccc')).toEqual(runRecord({ runId: '20261121-100000-cccc' }));
    await store.remove('20261121-100000-cccc');
    await store.remove('20261121-100000-cccc');
    expect((await store.list()).map(({ runId }) => runId)).toEqual(['20261122-100000-bbbb', '20261122-110000-aaaa']);
  });

  it('replaces a record that is saved again', async () => {
    const store = new RecordStore(await makeTemporaryDirectory(), ignore);
    await store.save(runRecord({ jobId: null }));
    await store.save(runRecord({ jobId: '41' }));
    expect(await store.list()).toEqual([runRecord({ jobId: '41' })]);
  });

  it('passes over what is no record, and says so of one that cannot be read', async () => {
    const state = await makeTemporaryDirectory();
    const unreadable: string[] = [];
    const store = new RecordStore(state, (path) => unreadable.push(path));
    await store.save(runRecord());
    for (const name of ['notes.json', `${runRecord().runId}.json.part`, 'README']) {
      await writeFile(join(state, 'runs', name), '{');
    }
    expect(await store.list()).toEqual([runRecord()]);
    expect(unreadable).toEqual([]);
    const broken = join(state, 'runs', '20261122-120000-dddd.json');
    await writeFile(broken, '');
    expect(await store.list()).toEqual([runRecord()]);
    expect(unreadable).toEqual([broken]);
  });

  it('takes many writers of one record at once', async () => {
    const store = new RecordStore(await makeTemporaryDirectory(), ignore);
    await Promise.all(Array.from({ length: 10 }, (_, index) => store.save(runRecord({ jobId: String(index) }))));
    expect(await store.list()).toHaveLength(1);
  });

  it('lets nobody else read them', async () => {
    const state = await makeTemporaryDirectory();
    await new RecordStore(state, ignore).save(runRecord());
    const directory = join(state, 'runs');
    const [name = ''] = await readdir(directory);
    expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
  });
});
