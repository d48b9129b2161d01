import fc from 'fast-check';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { resolveDirectories } from '../../../src/config/directories.js';
import { projectSchema, userSchema } from '../../../src/config/schema.js';
import { loadSites } from '../../../src/config/site.js';
import { parseYaml } from '../../../src/config/yaml-file.js';
import { chooseLikeliest, chooseNamed, listCandidates } from '../../../src/run/init/candidates.js';
import { guessResources } from '../../../src/run/init/guess.js';
import { initProject, lacksHost } from '../../../src/run/init/init.js';
import { lookAtProject } from '../../../src/run/init/look-at-project.js';
import { renderProjectFile } from '../../../src/run/init/render-project-file.js';
import { answering } from '../../support/answering.js';
import { failureOf } from '../../support/failure.js';
import { makePartition, makeSurvey } from '../../support/survey.js';
import { makeTemporaryDirectory } from '../../support/temporary-directory.js';
import { writeTree } from '../../support/write-tree.js';

const sites = await loadSites(resolveDirectories({ HOME: '/nonexistent' }));
const siteNamed = (name: string) => sites.find((site) => site.name === name);
const hosts = [
  { alias: 'web', hostName: 'www.example.org' },
  { alias: 'rwth', hostName: 'login23-1.hpc.itc.rwth-aachen.de' },
];

describe('candidates', () => {
  const user = userSchema.parse({ cluster: 'b', clusters: { a: { host: 'a.org' }, b: { site: 'lumi' } } });

  it('come likeliest first: configured ones, hosts of known sites, the sandbox, other hosts', () => {
    const all = listCandidates({ user, hosts, sites, hasSandbox: true });
    expect(all.map(({ name, site }) => [name, site?.name])).toEqual([
      ['b', 'lumi'],
      ['a', undefined],
      ['rwth', 'claix'],
      ['sandbox', undefined],
      ['web', undefined],
    ]);
    expect(chooseLikeliest(all)?.name).toBe('b');
    const onlyHosts = listCandidates({
      user: userSchema.parse({}),
      hosts: hosts.slice(0, 1),
      sites,
      hasSandbox: false,
    });
    expect(chooseLikeliest(onlyHosts)).toBeUndefined();
  });

  it('are chosen by name, by site, or both', async () => {
    const all = listCandidates({ user, hosts, sites, hasSandbox: false });
    expect(chooseNamed(all, { cluster: 'web', site: undefined })).toMatchObject({ host: 'web', isConfigured: false });
    expect(chooseNamed(all, { cluster: undefined, site: siteNamed('claix') })).toMatchObject({
      name: 'rwth',
      host: 'rwth',
    });
    expect(chooseNamed(all, { cluster: undefined, site: siteNamed('euler') })).toMatchObject({
      name: 'euler',
      host: undefined,
    });
    expect(chooseNamed(all, { cluster: 'mine', site: siteNamed('euler') })).toMatchObject({
      name: 'mine',
      site: { name: 'euler' },
    });
    expect(chooseNamed(all, { cluster: undefined, site: undefined })).toBeUndefined();
    const failure = await failureOf(() => chooseNamed(all, { cluster: 'rwht', site: undefined }));
    expect(failure).toMatchObject({
      code: 'CLUSTER_UNKNOWN',
      message: expect.stringContaining('did you mean "rwth"?') as string,
    });
  });
});

describe('guessResources', () => {
  const partitions = [
    makePartition({ name: 'devel', gpus: [{ type: 'h100', count: 4 }], maxSeconds: 600 }),
    makePartition({ name: 'cpu', isDefault: true }),
    makePartition({ name: 'down', gpus: [{ count: 8 }], isUp: false }),
    makePartition({ name: 'staff', gpus: [{ count: 8 }], allowedAccounts: ['staff'] }),
    makePartition({ name: 'gpu', gpus: [{ type: 'h100', count: 4 }] }),
  ];
  const accounts = [
    { name: 'mine', qos: [] },
    { name: 'other', qos: [] },
  ];
  const survey = makeSurvey({ partitions, accounts });

  it('takes the default partition, or the first ordinary one with GPUs that lets the account in', () => {
    const known = { survey, site: undefined };
    expect(guessResources({ ...known, wantsGpus: false })).toMatchObject({
      partition: { name: 'cpu' },
      account: 'mine',
      gpus: undefined,
    });
    expect(guessResources({ ...known, wantsGpus: true })).toMatchObject({
      ...{
        partition: { name: 'gpu' },
        gpus: '1',
        gpuTypes: ['h100'],
        others: ['devel', 'cpu'],
        otherAccounts: ['other'],
      },
    });
    expect(guessResources({ ...known, wantsGpus: true, account: 'staff' }).partition?.name).toBe('staff');
  });

  it('names a type where the site wants one, and no account where it forbids one', () => {
    const inputs = { survey, site: siteNamed('fau-alex'), wantsGpus: true };
    expect(guessResources(inputs).gpus).toBe('h100:1');
    const onlyDevel = makeSurvey({ partitions: partitions.slice(0, 1), accounts });
    expect(guessResources({ survey: onlyDevel, site: siteNamed('claix'), wantsGpus: true }).account).toBeUndefined();
  });

  it('holds to the rules of the partition: what its GPUs are asked by, their type, its account', () => {
    const site = siteNamed('claix');
    const rules = {
      partitions: {
        'cp*': {
          account: 'forbidden' as const,
          gpus: { option: 'none' as const, typeRequired: true, types: ['mi300'] },
        },
      },
    };
    if (!site) throw new Error('there is no site claix');
    const own = { ...site, cluster: { ...site.cluster, slurm: rules } };
    expect(guessResources({ survey, site: own, wantsGpus: true })).toMatchObject({
      partition: { name: 'cpu' },
      gpus: 'mi300:1',
      account: undefined,
    });
  });

  it('asks for no GPU where there is none', () => {
    const plain = makeSurvey({ partitions: [makePartition({ isDefault: true })] });
    expect(guessResources({ survey: plain, site: undefined, wantsGpus: true }).gpus).toBeUndefined();
  });
});

describe('initProject', () => {
  /** What is written, warned of and asked for this cluster and site, without a login. */
  async function init(asked: { cluster?: string; site: string }, answers?: string[]) {
    const directory = await makeTemporaryDirectory();
    const user = userSchema.parse({ clusters: { mine: { host: 'mine.org', site: 'lumi' } } });
    const warnings: string[] = [];
    const step = { update: () => undefined, output: () => undefined, succeed: () => undefined, fail: () => undefined };
    const prompter = answering(...(answers ?? []));
    const { cluster, path } = await initProject({
      directory,
      candidates: listCandidates({ user, hosts: [], sites, hasSandbox: false }),
      asked: { cluster: asked.cluster, site: siteNamed(asked.site) },
      prompter,
      canAsk: answers !== undefined,
      progress: { step: () => step, note: () => undefined, warn: (text) => warnings.push(text) },
      signal: new AbortController().signal,
      openSession: undefined,
    });
    const text = await readFile(path, 'utf8');
    return { cluster, warnings, text, config: parseYaml(text, path, projectSchema), asked: prompter.asked };
  }

  it('says that a site is not used for a cluster that is described already', async () => {
    const { warnings, config } = await init({ cluster: 'mine', site: 'claix' });
    expect(warnings).toEqual([expect.stringMatching(/^mine is described .* the site claix is not used/)]);
    expect(config).toMatchObject({ cluster: 'mine', clusters: {} });
    expect((await init({ cluster: 'mine', site: 'lumi' })).warnings).toEqual([]);
  });

  it('asks for the host where the site names none, and leaves it open if nobody knows', async () => {
    const known = await init({ site: 'tacc' }, ['frontera.tacc.utexas.edu']);
    expect(known.asked[0]?.question).toContain('Which host does one log in to on tacc?');
    expect(known.config.clusters.tacc?.host).toBe('frontera.tacc.utexas.edu');
    for (const open of [await init({ site: 'tacc' }, ['']), await init({ site: 'tacc' })]) {
      expect(open.config.clusters.tacc).toEqual({ site: 'tacc' });
      expect(open.text).toContain('# host: NAME');
      expect(open.cluster && lacksHost(open.cluster)).toBe(true);
    }
  });
});

describe('renderProjectFile', () => {
  it.each(sites.map((site) => [site.name, site] as const))('writes what validates: %s', (name, site) => {
    const guess = guessResources({ survey: undefined, site, wantsGpus: true });
    const cluster = { name, isConfigured: false, site, title: site.title };
    const text = renderProjectFile({ dockerfile: 'Dockerfile', cluster, user: 'ada', guess, survey: undefined });
    expect(parseYaml(text, 'hpcrun.yaml', projectSchema)).toMatchObject({
      cluster: name,
      clusters: { [name]: { site: name, user: 'ada' } },
    });
  });

  it('leaves the host open where the site names none, and says so', () => {
    const open = sites.filter((site) => (site.login ?? []).length === 0);
    expect(open.map(({ name }) => name)).toEqual(expect.arrayContaining(['alliance', 'nyu', 'princeton', 'tacc']));
    const guess = guessResources({ survey: undefined, site: undefined, wantsGpus: false });
    for (const site of sites) {
      const cluster = { name: site.name, isConfigured: false, site, title: site.title };
      const text = renderProjectFile({ dockerfile: undefined, cluster, user: undefined, guess, survey: undefined });
      expect(text.includes('    # host: NAME # where one logs in')).toBe(open.includes(site));
      expect(lacksHost(cluster)).toBe(open.includes(site));
    }
  });

  it('writes what validates, and nothing else, whatever a cluster calls its partitions and accounts', () => {
    const anyName = fc.oneof(fc.string(), fc.constantFrom('null', 'yes', '1e3', '# x', 'a: b', 'x\nroot: /etc', '- y'));
    fc.assert(
      fc.property(anyName, anyName, anyName, fc.boolean(), (partition, account, title, wantsGpus) => {
        const partitions = [makePartition({ name: partition, isDefault: true, gpus: [{ type: account, count: 2 }] })];
        const survey = makeSurvey({ partitions, accounts: [{ name: account, qos: [] }] });
        const guess = guessResources({ survey, site: undefined, wantsGpus });
        const cluster = { name: 'c', isConfigured: false, host: 'c', title };
        const text = renderProjectFile({ dockerfile: title || undefined, cluster, user: undefined, guess, survey });
        const config = parseYaml(text, 'hpcrun.yaml', projectSchema);
        expect(Object.keys(config.clusters)).toEqual(['c']);
        expect(config.clusters.c).toEqual({ host: 'c' });
        expect(config.resources.partition).toBe(guess.partition?.name);
        expect(config.resources.account).toBe(guess.account);
      }),
    );
  });

  it('matches the file that is shown in the documentation', async () => {
    const partitions = [
      makePartition({ name: 'batch', isDefault: true, nodes: 20, usableNodes: 20, maxSeconds: 604_800 }),
      makePartition({ name: 'gpu', nodes: 4, usableNodes: 3, gpus: [{ type: 'h100', count: 4 }], maxSeconds: 86_400 }),
    ];
    const survey = makeSurvey({
      partitions,
      accounts: [
        { name: 'rwth1234', qos: [] },
        { name: 'thes0001', qos: [] },
      ],
    });
    const site = siteNamed('claix');
    const cluster = { name: 'rwth', isConfigured: false, host: 'rwth', site, title: site?.title ?? '' };
    const guess = guessResources({ survey, site, wantsGpus: true });
    const text = renderProjectFile({ dockerfile: 'Dockerfile', cluster, user: undefined, guess, survey });
    await expect(text).toMatchFileSnapshot('../../golden/init.yaml');
  });
});

describe('lookAtProject', () => {
  it.each([
    [{ Dockerfile: 'FROM x' }, { dockerfile: 'Dockerfile', wantsGpus: false }],
    [{ 'docker/Dockerfile': 'RUN pip install torch' }, { dockerfile: 'docker/Dockerfile', wantsGpus: true }],
    [
      { 'train.Dockerfile': '', 'requirements.txt': 'numpy\njax[cuda12]\n' },
      { dockerfile: 'train.Dockerfile', wantsGpus: true },
    ],
    [
      { 'Dockerfile.dockerignore': 'x', 'a.txt': 'torch' },
      { dockerfile: undefined, wantsGpus: false },
    ],
    [
      { 'Dockerfile.gpu': 'FROM nvidia/cuda:12', Containerfile: 'FROM y' },
      { dockerfile: 'Containerfile', wantsGpus: false },
    ],
  ])('%j', async (files, expected) => {
    const directory = await makeTemporaryDirectory();
    await writeTree(directory, files);
    expect(await lookAtProject(directory)).toEqual(expected);
  });
});
