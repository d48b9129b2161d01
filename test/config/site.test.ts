import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isCollection, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import { resolveDirectories } from '../../src/config/directories.js';
import { findSite, listSiteNames, loadSite, loadSites } from '../../src/config/site.js';
import { packageDirectory } from '../../src/package-directory.js';
import { renderDirectives } from '../../src/slurm/directives.js';
import { applyRules, judgeRequest, type SlurmRules } from '../../src/slurm/rules.js';
import type { ResourceRequest } from '../../src/slurm/directives.js';
import { failureOf } from '../support/failure.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

const siteDirectory = join(packageDirectory(), 'sites');
const files = (await readdir(siteDirectory)).sort();
const empty = resolveDirectories({ HOME: '/nonexistent' });

/** Lines of leaves (values, and lists on one line) that no comment with a source follows. */
function linesWithoutSource(text: string): string[] {
  const lines = text.split('\n');
  const counter = new LineCounter();
  const missing: string[] = [];
  const check = (offset: number) => {
    const line = lines[counter.linePos(offset).line - 1] ?? '';
    if (!/\s# .*(?:facts §\d|(?:read|from memory): https:\/\/\S+|the address itself)/.test(line))
      missing.push(line.trim());
  };
  visit(parseDocument(text, { lineCounter: counter }), {
    Scalar(key, node) {
      if (key !== 'key' && isScalar(node)) check(node.range?.[0] ?? 0);
    },
    Seq(_, node) {
      if (isCollection(node) && node.flow) check(node.range?.[1] ?? 0);
    },
  });
  return missing;
}

describe('the files in sites/', () => {
  it('are all there', async () => {
    expect(await listSiteNames(empty)).toEqual([
      ...['alliance', 'claix', 'euler', 'fasrc', 'fau-alex', 'fau-tinygpu', 'jupiter', 'juwels', 'lumi', 'nyu'],
      ...['perlmutter', 'princeton', 'sherlock', 'tacc'],
    ]);
  });

  it.each(files)('%s is valid and names a source for each value', async (file) => {
    const site = await loadSite(file.replace(/\.yaml$/, ''), empty);
    expect(site.hosts.length).toBeGreaterThan(0);
    expect(linesWithoutSource(await readFile(join(siteDirectory, file), 'utf8'))).toEqual([]);
  });

  it('would be noticed without a source', () => {
    expect(linesWithoutSource('a: 1 # facts §6\nb: [1, 2]\nc:\n  d: x # because\n')).toEqual(
      expect.arrayContaining(['b: [1, 2]', 'd: x # because']),
    );
  });

  it('name hosts that are their own, and no two claim one', async () => {
    const sites = await loadSites(empty);
    for (const site of sites) {
      for (const host of site.login ?? []) expect([host, findSite(host, sites)?.name]).toEqual([host, site.name]);
    }
    expect(findSite('frontera.tacc.utexas.edu', sites)?.name).toBe('tacc');
    expect(findSite('cluster.example.org', sites)).toBeUndefined();
    expect(findSite('evil-lumixcsc.fi', sites)).toBeUndefined();
  });
});

/** One request a site's users would make, with what is asked for everywhere else. */
const requests: Record<string, ResourceRequest[]> = {
  default: [
    { gpus: { count: 2 }, memory: '64G', time: 7200, partition: 'gpu', account: 'proj1' },
    { cpus: 4, memory: '8G', time: 600, partition: 'cpu', account: 'proj1' },
  ],
  claix: [
    { gpus: { count: 2 }, memory: '64G', time: 7200, partition: 'c23g', account: 'rwth1234' },
    { cpus: 4, memory: '8G', time: 600, partition: 'devel', account: 'rwth1234' },
  ],
  jupiter: [{ gpus: { type: 'gh200', count: 4 }, time: 7200, partition: 'booster', account: 'proj1' }],
  'fau-alex': [{ gpus: { type: 'a100', count: 1 }, time: 7200, partition: 'a100' }],
  'fau-tinygpu': [{ gpus: { count: 1 }, time: 7200 }],
  lumi: [{ gpus: { count: 8 }, time: 7200, partition: 'standard-g', account: 'project_465000001' }],
  euler: [{ gpus: { type: 'rtx_4090', count: 1 }, cpus: 3, memory: '32G', time: 7200 }],
};

const head = (resources: ResourceRequest) => ({
  name: 'train',
  comment: 'hpcrun:20261122-081530-k3f9',
  logPath: '/r/logs/job.log',
  workingDirectory: '/r/work',
  resources,
});

describe('directives of a site', () => {
  it.each(files.map((file) => file.replace(/\.yaml$/, '')))('%s', async (name) => {
    const { cluster } = await loadSite(name, empty);
    const rules = cluster?.slurm ?? {};
    const texts = (requests[name] ?? requests.default ?? []).map((asked) => {
      const { problems, notes } = judgeRequest(asked, rules);
      const lines = renderDirectives(head(asked), rules).map((line) => `#SBATCH ${line}`);
      const said = [...problems.map((text) => `# problem: ${text}`), ...notes.map((text) => `# note: ${text}`)];
      return [`# asked for: ${JSON.stringify(asked)}`, ...said, ...lines, ''].join('\n');
    });
    await expect(texts.join('\n')).toMatchFileSnapshot(`../golden/sites/${name}.sbatch`);
  });
});

describe('rules', () => {
  it.each<[string, ResourceRequest, SlurmRules, string[]]>([
    ['time', {}, { required: ['time'] }, ['a job needs --time']],
    ['an account', {}, { required: ['account'] }, ['a job needs --account here']],
    [
      'no account where none may be named',
      { partition: 'devel' },
      { required: ['account'], partitions: { devel: { account: 'forbidden' } } },
      [],
    ],
    [
      'a type of GPU',
      { gpus: { count: 1 } },
      { gpus: { typeRequired: true, types: ['a40'] } },
      ['GPUs need a type, such as --gpus a40:1'],
    ],
    ['no type without GPUs', { gpus: { count: 0 } }, { gpus: { typeRequired: true } }, []],
    [
      'no more GPUs than a node has',
      { gpus: { count: 5 }, partition: 'c23g' },
      { partitions: { 'c23*': { gpus: { perNode: 4 } } } },
      ['a node has 4 GPUs in the partition c23g, and 5 are asked for'],
    ],
  ])('want %s', (_, asked, rules, problems) => {
    expect(judgeRequest(asked, rules).problems).toEqual(problems);
  });

  it('add the cores that come with GPUs, unless the user says how many', () => {
    const rules = { gpus: { cpusPerGpu: 24 } };
    expect(applyRules({ gpus: { count: 2 } }, rules).cpus).toBe(48);
    expect(applyRules({ gpus: { count: 2 }, cpus: 8 }, rules).cpus).toBe(8);
    expect(applyRules({}, rules).cpus).toBeUndefined();
  });

  it('divide memory among cores, never giving less than was asked for', () => {
    const lines = renderDirectives(head({ memory: '32G', cpus: 3 }), { memoryOption: 'mem-per-cpu' });
    expect(lines).toContain('--mem-per-cpu=10923M');
    expect(renderDirectives(head({ memory: '1K' }), { memoryOption: 'mem-per-cpu' })).toContain('--mem-per-cpu=1M');
  });
});

describe('a site of the user', () => {
  const withSite = async (text: string) => {
    const directories = resolveDirectories({ HOME: await makeTemporaryDirectory() });
    await writeTree(directories.config, {
      'sites/mine.yaml': text,
      'sites/lumi.yaml': "title: ours\nhosts: ['*.here']\n",
    });
    return directories;
  };

  it('is one file, and goes before one of the same name', async () => {
    const directories = await withSite("title: Mine\nhosts: ['*.mine.org']\ncluster: {slurm: {forbidden: [mem]}}\n");
    expect((await loadSite('mine', directories)).cluster?.slurm?.forbidden).toEqual(['mem']);
    expect((await loadSite('lumi', directories)).title).toBe('ours');
    expect(await listSiteNames(directories)).toEqual(expect.arrayContaining(['mine', 'claix']));
  });

  it('is checked as every configuration is', async () => {
    const directories = await withSite('title: Mine\nhosts: [x]\ncluster: {slurm: {forbiden: [mem]}}\n');
    const error = await failureOf(() => loadSite('mine', directories));
    expect(error.message).toMatch(/mine\.yaml:3: cluster\.slurm\.forbiden: unknown key; did you mean "forbidden"\?$/);
  });

  it('that is not there is named, with what comes close', async () => {
    const error = await failureOf(() => loadSite('clax', empty));
    expect([error.code, error.message]).toEqual(['CONFIG_INVALID', 'there is no site "clax"; did you mean "claix"?']);
  });
});
