import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SentObjects } from '../../src/cluster/sent-objects.js';
import type { ResolvedCluster } from '../../src/config/cluster.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const makeCluster = async (): Promise<ResolvedCluster> => ({
  name: 'claix',
  host: 'login.example.org',
  root: '~/hpcrun',
  pollSeconds: 60,
  stateDirectory: await makeTemporaryDirectory(),
  isSandbox: false,
});

const root = '/home/ada/hpcrun';

describe('SentObjects', () => {
  it('remembers what was confirmed, for one place only', async () => {
    const cluster = await makeCluster();
    const sent = await SentObjects.load(cluster, root);
    expect([sent.has('a'), sent.hasHardLinks]).toEqual([false, true]);
    await sent.confirm(['a', 'b']);
    await sent.rememberNoHardLinks();
    const again = await SentObjects.load(cluster, root);
    expect([again.has('a'), again.has('b'), again.has('c'), again.hasHardLinks]).toEqual([true, true, false, false]);
    const elsewhere = await SentObjects.load(cluster, '/scratch/ada/hpcrun');
    expect([elsewhere.has('a'), elsewhere.hasHardLinks]).toEqual([false, true]);
    expect((await SentObjects.load({ ...cluster, host: 'other.example.org' }, root)).has('a')).toBe(false);
  });

  it('forgets what is gone, and begins anew where its file cannot be read', async () => {
    const cluster = await makeCluster();
    const sent = await SentObjects.load(cluster, root);
    await sent.confirm(['a', 'b']);
    sent.forget(['a']);
    expect([sent.has('a'), sent.has('b')]).toEqual([false, true]);
    await sent.confirm(['c']);
    expect((await SentObjects.load(cluster, root)).has('a')).toBe(false);
    await writeFile(join(cluster.stateDirectory, 'objects.json'), '{"place":');
    expect((await SentObjects.load(cluster, root)).has('b')).toBe(false);
  });

  it('forgets those used longest ago beyond 100,000', async () => {
    const cluster = await makeCluster();
    const sent = await SentObjects.load(cluster, root);
    const names = Array.from({ length: 100_000 }, (_, index) => `n${index}`);
    await sent.confirm(names);
    await sent.confirm(['n0', 'new']);
    const again = await SentObjects.load(cluster, root);
    expect(['n0', 'n1', 'n2', 'new'].map((name) => again.has(name))).toEqual([true, false, true, true]);
  });
});
