import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { requireProject } from '../../src/config/project.js';
import { describeCommand, planRun, type Plan, type SubmitRequest, type ImageSource } from '../../src/run/plan.js';
import { failureOf } from '../support/failure.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

interface Situation extends Partial<SubmitRequest> {
  /** Text of hpcrun.yaml. */
  config?: string;
  /** Relative to the project. */
  cwd?: string;
  processEnv?: Record<string, string>;
}

const plan = async ({ config = '', cwd = '', processEnv = {}, ...request }: Situation): Promise<Plan> => {
  const root = await makeTemporaryDirectory();
  await writeTree(root, {
    'outside.py': '',
    'My Project!/hpcrun.yaml': config,
    'My Project!/Dockerfile': 'FROM scratch\n',
    'My Project!/docker/gpu.Dockerfile': 'FROM scratch\n',
    'My Project!/train.py': '',
    'My Project!/src/deep/fit.py': '',
    'My Project!/run': { executable: '' },
    'My Project!/.hidden odd.name.py': '',
  });
  const directory = join(root, 'My Project!', cwd);
  await mkdir(directory, { recursive: true });
  const empty: SubmitRequest = { words: [], isCommand: false, resources: {}, env: [], binds: [], buildArgs: [] };
  return await planRun(await requireProject(directory), { ...empty, ...request }, directory, processEnv);
};

const script = (path: string, ...args: string[]) => ({ kind: 'script', path, isExecutable: false, args });

describe('planRun: what is run, and where', () => {
  it.each<[string, Situation, unknown, string, string]>([
    ['a script', { words: ['train.py', '--lr', '1'] }, script('train.py', '--lr', '1'), '/workspace', 'train'],
    ['./script', { words: ['./train.py'] }, script('train.py'), '/workspace', 'train'],
    ['a script below', { words: ['src/deep/fit.py'] }, script('src/deep/fit.py'), '/workspace', 'fit'],
    [
      'a script from its directory',
      { words: ['fit.py'], cwd: 'src/deep' },
      script('fit.py'),
      '/workspace/src/deep',
      'fit',
    ],
    [
      'a script from beside',
      { words: ['../../train.py'], cwd: 'src/deep' },
      script('../../train.py'),
      '/workspace/src/deep',
      'train',
    ],
    [
      'a script from a new directory',
      { words: ['../train.py'], cwd: 'new' },
      script('../train.py'),
      '/workspace/new',
      'train',
    ],
    ['a program', { words: ['run'] }, { ...script('run'), isExecutable: true }, '/workspace', 'run'],
    ['an odd name', { words: ['.hidden odd.name.py'] }, script('.hidden odd.name.py'), '/workspace', 'hidden-odd.name'],
    [
      'a command',
      { words: ['/bin/ls', '-l'], isCommand: true },
      { kind: 'command', argv: ['/bin/ls', '-l'] },
      '/workspace',
      'ls',
    ],
    [
      'a command with a script of its name',
      { words: ['train.py'], isCommand: true },
      { kind: 'command', argv: ['train.py'] },
      '/workspace',
      'train.py',
    ],
    ["the image's command", {}, { kind: 'image' }, '/workspace', 'My-Project-'],
    [
      'another mount',
      { words: ['fit.py'], cwd: 'src/deep', config: 'mount: /code' },
      script('fit.py'),
      '/code/src/deep',
      'fit',
    ],
    [
      'a name from hpcrun.yaml',
      { words: ['train.py'], config: 'name: digits' },
      script('train.py'),
      '/workspace',
      'digits',
    ],
    [
      'a name from --name',
      { words: ['train.py'], config: 'name: digits', name: 'mine' },
      script('train.py'),
      '/workspace',
      'mine',
    ],
  ])('%s', async (_, situation, command, containerDirectory, name) => {
    expect(await plan(situation)).toMatchObject({ command, containerDirectory, name });
  });

  it.each<[string, Situation, string]>([
    ['a missing script', { words: ['missing.py'] }, 'SCRIPT_NOT_FOUND'],
    ['a script seen from another directory', { words: ['train.py'], cwd: 'src' }, 'SCRIPT_NOT_FOUND'],
    ['a directory', { words: ['src'] }, 'SCRIPT_NOT_FOUND'],
    ['a path through a file', { words: ['train.py/x'] }, 'SCRIPT_NOT_FOUND'],
    ['an empty word', { words: [''] }, 'SCRIPT_NOT_FOUND'],
    ['a script outside of the project', { words: ['../outside.py'] }, 'SCRIPT_OUTSIDE_PROJECT'],
    ['an absolute path outside', { words: ['/bin/sh'] }, 'SCRIPT_OUTSIDE_PROJECT'],
    ['a missing Dockerfile', { words: ['train.py'], config: 'image: {dockerfile: no}' }, 'DOCKERFILE_NOT_FOUND'],
    [
      'a directory as Dockerfile',
      { words: ['train.py'], config: 'image: {dockerfile: docker}' },
      'DOCKERFILE_NOT_FOUND',
    ],
  ])('refuses %s', async (_, situation, code) => {
    const error = await failureOf(() => plan(situation));
    expect(error.code).toBe(code);
    expect(error.hint).toBeTruthy();
  });
});

const requestOf = (image: ImageSource) => {
  if (image.kind !== 'build') throw new Error(`the image is not built but ${image.kind}`);
  return image.request;
};

describe('planRun: how the image is built', () => {
  it('takes the Dockerfile and the directory of the project', async () => {
    const { image, project } = await plan({});
    const build = requestOf(image);
    expect(build).toMatchObject({
      dockerfile: join(project.directory, 'Dockerfile'),
      context: project.directory,
      args: {},
    });
    expect(build).not.toHaveProperty('target');
    expect(build.tag).toMatch(/^hpcrun\/my-project:[0-9a-f]{8}$/);
  });

  it('follows hpcrun.yaml, and build arguments from the command line go before', async () => {
    const { image, project } = await plan({
      cwd: 'src',
      config: 'image: {dockerfile: docker/gpu.Dockerfile, context: docker, target: gpu, args: {A: 1, B: 2}}',
      buildArgs: ['B=b=c', 'C', 'D='],
      processEnv: { A: 'not this', C: 'from the environment' },
    });
    expect(requestOf(image)).toMatchObject({
      dockerfile: join(project.directory, 'docker/gpu.Dockerfile'),
      context: join(project.directory, 'docker'),
      target: 'gpu',
      args: { A: '1', B: 'b=c', C: 'from the environment', D: '' },
    });
  });

  it('gives every project directory a tag of its own, and always the same one', async () => {
    const [one, two] = [await plan({}), await plan({})];
    expect(requestOf(one.image).tag).not.toBe(requestOf(two.image).tag);
    const again = await planRun(
      one.project,
      { words: ['train.py'], isCommand: false, resources: {}, env: [], binds: [], buildArgs: [] },
      one.project.directory,
      {},
    );
    expect(requestOf(again.image).tag).toBe(requestOf(one.image).tag);
  });
});

describe('planRun: what the job is given', () => {
  it('puts the command line before hpcrun.yaml, one resource at a time', async () => {
    const { resources } = await plan({
      config: 'resources: {gpus: 1, memory: 8G, partition: c23g}',
      resources: { memory: '32G', cpus: 4 },
    });
    expect(resources).toEqual({ gpus: { count: 1 }, memory: '32G', cpus: 4, partition: 'c23g' });
  });

  it('reads variables from hpcrun.yaml, the environment and the command line, the last one before the others', async () => {
    const { variables } = await plan({
      config: 'env: {A: file, B: file, C: file}\nsecrets: [B, TOKEN]',
      env: ['C=line=1\n2', 'D', 'EMPTY='],
      processEnv: { A: 'unused', B: 'secret', TOKEN: 't', D: 'd' },
    });
    expect(variables).toEqual({ A: 'file', B: 'secret', C: 'line=1\n2', TOKEN: 't', D: 'd', EMPTY: '' });
  });

  it.each<[Situation, string, string]>([
    [{ env: ['MISSING'] }, 'VARIABLE_MISSING', '--env: MISSING'],
    [{ config: 'secrets: [TOKEN]' }, 'VARIABLE_MISSING', 'secrets: TOKEN'],
    [{ buildArgs: ['MISSING'] }, 'VARIABLE_MISSING', '--build-arg: MISSING'],
    [{ env: ['=x'] }, 'USAGE', '--env: ""'],
    [{ env: ['A B=x'] }, 'USAGE', '--env: "A B"'],
    [{ env: ['1A=x'] }, 'USAGE', '--env: "1A"'],
    [{ buildArgs: ['A-B=x'] }, 'USAGE', '--build-arg: "A-B"'],
  ])('refuses %j', async (situation, code, message) => {
    const error = await failureOf(() => plan(situation));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });

  it('adds binds from the command line to those of hpcrun.yaml', async () => {
    const bind = { source: '~/more', target: '/more', readonly: false };
    const { binds } = await plan({ config: "binds: ['$WORK/data:/data:ro']", binds: [bind] });
    expect(binds).toEqual([{ source: '$WORK/data', target: '/data', readonly: true }, bind]);
  });
});

describe('describeCommand', () => {
  it('says what is run', () => {
    expect(describeCommand({ kind: 'script', path: 'a.py', isExecutable: false, args: ['-x'] })).toBe('a.py -x');
    expect(describeCommand({ kind: 'command', argv: ['ls', '-l'] })).toBe('ls -l');
    expect(describeCommand({ kind: 'image' })).toBe("the image's own command");
  });
});
