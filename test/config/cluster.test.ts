import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveCluster, resolveSandboxName, sandboxClusterFile } from '../../src/config/cluster.js';
import { resolveDirectories } from '../../src/config/directories.js';
import { loadProject } from '../../src/config/project.js';
import { failureOf } from '../support/failure.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

interface Situation {
  flag?: string;
  env?: Record<string, string>;
  /** Text of hpcrun.yaml. */
  project?: string;
  /** Text of the user's config.yaml. */
  user?: string;
  sandbox?: boolean;
}

const resolve = async ({ flag, env = {}, project, user, sandbox = false }: Situation) => {
  const home = await makeTemporaryDirectory();
  const directories = resolveDirectories({ HOME: home });
  if (user !== undefined) await writeTree(directories.config, { 'config.yaml': user });
  if (project !== undefined) await writeTree(home, { 'p/hpcrun.yaml': project });
  if (sandbox) {
    const file = sandboxClusterFile(directories, resolveSandboxName(env));
    await writeTree('/', { [file]: JSON.stringify({ host: '127.0.0.1', port: 2200, user: 'ada' }) });
  }
  const found = project === undefined ? undefined : await loadProject(join(home, 'p'));
  return await resolveCluster({ directories, env, flag, project: found });
};

const two = 'clusters: {one: {host: one.org}, two: {host: two.org}}\n';

describe('resolveCluster', () => {
  it.each<[string, Situation, string]>([
    [
      '--cluster before everything',
      { flag: 'one', env: { HPCRUN_CLUSTER: 'two' }, project: `cluster: two\n${two}`, user: 'cluster: two' },
      'one',
    ],
    ['then HPCRUN_CLUSTER', { env: { HPCRUN_CLUSTER: 'one' }, project: `cluster: two\n${two}` }, 'one'],
    ['then hpcrun.yaml', { project: `cluster: one\n${two}`, user: 'cluster: two' }, 'one'],
    ["then the user's config.yaml", { project: two, user: 'cluster: one' }, 'one'],
    ["then the only one, in the user's config.yaml", { user: 'clusters: {one: {}}', sandbox: true }, 'one'],
    ['then the only one, in hpcrun.yaml', { project: 'clusters: {one: {}}', sandbox: true }, 'one'],
    ['at last the sandbox', { sandbox: true }, 'sandbox'],
    ['the sandbox by name beside others', { flag: 'sandbox', user: two, sandbox: true }, 'sandbox'],
  ])('chooses %s', async (_, situation, expected) => {
    expect((await resolve(situation)).name).toBe(expected);
  });

  it('fills in defaults', async () => {
    expect(await resolve({ user: 'clusters: {claix: {}}' })).toEqual({
      name: 'claix',
      host: 'claix',
      root: '~/hpcrun',
      pollSeconds: 60,
      isSandbox: false,
      stateDirectory: expect.stringMatching(/\/clusters\/claix$/) as string,
    });
  });

  it('keeps what is configured', async () => {
    const cluster = await resolve({
      user: 'clusters: {c: {host: h, port: 23, user: u, root: $WORK/x, compression: zstd, pollSeconds: 90, modules: [m]}}',
    });
    expect(cluster).toEqual({
      name: 'c',
      host: 'h',
      port: 23,
      user: 'u',
      root: '$WORK/x',
      compression: 'zstd',
      pollSeconds: 90,
      modules: ['m'],
      isSandbox: false,
      stateDirectory: expect.stringMatching(/\/clusters\/c$/) as string,
    });
  });

  it("prefers the project's description of a cluster to the user's", async () => {
    const cluster = await resolve({
      project: 'clusters: {c: {host: project.org}}',
      user: 'clusters: {c: {host: user.org}}',
    });
    expect(cluster.host).toBe('project.org');
  });

  it('takes each setting from the project, then the user, then the site', async () => {
    const cluster = await resolve({
      project: 'clusters: {c: {pollSeconds: 120, slurm: {gpus: {perNode: 2}}}}',
      user: 'clusters: {c: {site: claix, user: ab123456, pollSeconds: 90, slurm: {required: [time]}}}',
    });
    expect(cluster).toMatchObject({
      host: 'login23-1.hpc.itc.rwth-aachen.de',
      user: 'ab123456',
      root: '$HPCWORK/hpcrun',
      pollSeconds: 120,
      site: { name: 'claix', title: 'CLAIX, RWTH Aachen' },
      slurm: {
        required: ['time'],
        gpus: { option: 'gres', perNode: 2 },
        partitions: { devel: { account: 'forbidden' } },
      },
    });
  });

  it("goes through the site's jump host to the site's login host, and as the user says to the user's own", async () => {
    expect(await resolve({ user: 'clusters: {c: {site: fau-alex}}' })).toMatchObject({
      host: 'alex.nhr.fau.de',
      proxyJump: 'csnhr.nhr.fau.de',
    });
    expect((await resolve({ user: 'clusters: {c: {site: fau-alex, host: alex}}' })).proxyJump).toBeUndefined();
  });

  it('leaves a root that only the user can fill in to the user', async () => {
    expect((await resolve({ user: 'clusters: {c: {site: lumi}}' })).root).toBe('~/hpcrun');
    expect((await resolve({ user: 'clusters: {c: {site: lumi, root: /scratch/p/x}}' })).root).toBe('/scratch/p/x');
  });

  it('knows the sandbox from a configured cluster of that name', async () => {
    expect(await resolve({ sandbox: true })).toMatchObject({ isSandbox: true, host: '127.0.0.1', port: 2200 });
    expect(await resolve({ sandbox: true, user: 'clusters: {sandbox: {host: mine.org}}' })).toMatchObject({
      isSandbox: false,
      host: 'mine.org',
    });
  });

  it('looks for the sandbox of the name that the environment gives', async () => {
    expect((await resolve({ sandbox: true, env: { HPCRUN_SANDBOX_NAME: 'other' } })).isSandbox).toBe(true);
  });

  it.each<[string, Situation, string]>([
    ['nothing is configured', {}, 'no cluster is configured'],
    ['there are several', { user: two }, 'There are several: one, two'],
    ['there are several and a sandbox', { user: two, sandbox: true }, 'There are several: one, two'],
    ['the name is unknown', { flag: 'three', user: two }, 'no cluster named "three"; known are: one, two, sandbox'],
    ['the sandbox is down', { flag: 'sandbox', user: two }, 'the sandbox cluster is not running'],
  ])('fails if %s', async (_, situation, message) => {
    const error = await failureOf(() => resolve(situation));
    expect(error.code).toBe('CLUSTER_UNKNOWN');
    expect(error.message).toContain(message);
    expect(error.hint).toBeTruthy();
  });

  it('reports a broken config.yaml, even if it is not needed', async () => {
    const error = await failureOf(() => resolve({ flag: 'one', project: two, user: 'clsuters: {}' }));
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain('config.yaml:1: clsuters: unknown key; did you mean "clusters"?');
  });
});

describe('resolveSandboxName', () => {
  it('has a default', () => {
    expect(resolveSandboxName({})).toBe('hpcrun-sandbox');
    expect(resolveSandboxName({ HPCRUN_SANDBOX_NAME: 'two-2' })).toBe('two-2');
  });

  it.each(['', 'A', '-a', 'a/b', '../x', 'a b', 'a\n'])('refuses %j', async (name) => {
    const error = await failureOf(() => resolveSandboxName({ HPCRUN_SANDBOX_NAME: name }));
    expect(error.code).toBe('USAGE');
  });
});
