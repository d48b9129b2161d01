import { describe, expect, it } from 'vitest';
import { projectSchema } from '../../src/config/schema.js';
import { emptyImage } from '../../src/image/engine.js';
import {
  describeContainer,
  describeDifferences,
  type ContainerParts,
  type ContainerRequest,
} from '../../src/run/describe-container.js';
import type { Plan } from '../../src/run/plan.js';

const plan: Plan = {
  name: 'train',
  template: { name: 'single', text: '', path: undefined },
  project: { directory: '/home/mia/project', config: projectSchema.parse({}) },
  image: { kind: 'name', name: 'img' },
  platform: undefined,
  permissions: 'open',
  conversion: 'auto',
  noCache: false,
  command: { kind: 'script', path: 'train.py', isExecutable: false, args: ['-x'] },
  containerDirectory: '/workspace/sub',
  mount: '/workspace',
  resources: {},
  variables: {},
  binds: [],
};

const request: ContainerRequest = {
  interactive: false,
  tty: false,
  offline: false,
  ports: [],
  name: undefined,
  workingDirectory: undefined,
  entrypoint: undefined,
};

const facts = {
  cpus: 4,
  memoryBytes: 16e9,
  limits: { cpus: true, memory: true, swap: true },
  isRootless: false,
  hasGpus: false,
  hasInit: true,
  hasSelinux: false,
};

function parts(change: {
  plan?: Partial<Plan>;
  request?: Partial<ContainerRequest>;
  facts?: Partial<typeof facts>;
  rest?: Partial<ContainerParts>;
}): ContainerParts {
  return {
    runId: '20261122-081530-k3f9',
    plan: { ...plan, ...change.plan },
    request: { ...request, ...change.request },
    engine: { name: 'docker', architecture: 'amd64', facts: { ...facts, ...change.facts } },
    info: emptyImage,
    filledVolumes: [],
    image: 'img',
    identity: { uid: 1000, gid: 1000, name: 'mia' },
    binds: [],
    places: { work: '/work', scratch: '/scratch' },
    env: {},
    ...change.rest,
  };
}

const entrypoint = { ...emptyImage, entrypoint: ['/entry'], command: ['cmd'] };

describe('describeContainer', () => {
  it.each<[string, Parameters<typeof parts>[0], string[]]>([
    ['a script', {}, ['python3', 'train.py', '-x']],
    ['a script behind an ENTRYPOINT', { rest: { info: entrypoint } }, ['/entry', 'python3', 'train.py', '-x']],
    [
      'a script from another directory',
      { request: { workingDirectory: '/opt/app' } },
      ['python3', '../../workspace/sub/train.py', '-x'],
    ],
    ["the image's own", { plan: { command: { kind: 'image' } }, rest: { info: entrypoint } }, ['/entry', 'cmd']],
    [
      'an ENTRYPOINT in place of another, which takes CMD away',
      { plan: { command: { kind: 'image' } }, request: { entrypoint: 'sh' }, rest: { info: entrypoint } },
      ['sh'],
    ],
    [
      'no ENTRYPOINT',
      {
        plan: { command: { kind: 'command', argv: ['ls'] } },
        request: { entrypoint: '' },
        rest: { info: entrypoint },
      },
      ['ls'],
    ],
  ])('runs %s', (_, change, expected) => {
    expect(describeContainer(parts(change)).command).toEqual(expected);
  });

  it('gives the writable places of a job, and nothing twice', () => {
    const info = { ...emptyImage, volumes: ['/cache', '/tmp'] };
    const binds = [{ source: '/data', target: '/var/tmp', readonly: true }];
    const { mounts } = describeContainer(parts({ rest: { info, binds } }));
    expect(mounts).toEqual([
      { source: '/scratch/volume-1', target: '/tmp', readonly: false },
      { source: '/data', target: '/var/tmp', readonly: true },
      { source: '/scratch/volume-0', target: '/cache', readonly: false },
      { source: '/scratch/home', target: '/home/mia', readonly: false },
      { source: '/scratch/passwd', target: '/etc/passwd', readonly: true },
      { source: '/scratch/group', target: '/etc/group', readonly: true },
      { source: '/work', target: '/workspace', readonly: false },
    ]);
  });

  it('leaves a VOLUME that holds something to the image, and one in the project to the project', () => {
    const info = { ...emptyImage, volumes: ['/filled', '/workspace/a/b', '/workspace/empty'] };
    const { mounts } = describeContainer(parts({ rest: { info, filledVolumes: ['/filled', '/workspace/a/b'] } }));
    const shown = mounts.map(({ source, target }) => `${source} ${target}`);
    expect(shown.filter((text) => /filled|workspace/.test(text))).toEqual([
      '/scratch/volume-0 /workspace/empty',
      '/work /workspace',
      '/work/a/b /workspace/a/b',
    ]);
  });

  it('leaves LANG to an image that has its own, and HOME to a user who sets it', () => {
    const info = { ...emptyImage, environment: ['LANG=de_DE', 'my.var=1'] };
    const { variables } = describeContainer(parts({ plan: { variables: { HOME: '/h' } }, rest: { info } }));
    expect(variables.onCommandLine).not.toHaveProperty('LANG');
    expect(variables.onCommandLine).not.toHaveProperty('HOME');
    expect(variables.file?.text).toBe('HOME=/h\n');
    expect(variables.removed).toEqual(['my.var']);
    expect(describeContainer(parts({})).variables.onCommandLine).toMatchObject({
      HOME: '/home/mia',
      LANG: 'C.UTF-8',
    });
  });

  it('asks for no more than the machine has', () => {
    const resources = { cpus: 32, memory: '64G', gpus: { count: 1 } };
    const container = describeContainer(parts({ plan: { resources } }));
    expect(container).toMatchObject({ limits: { cpus: 4, memoryBytes: 64 * 2 ** 30, swaps: false }, gpus: false });
    expect(describeContainer(parts({ plan: { resources }, facts: { hasGpus: true } })).gpus).toBe(true);
    const limits = { cpus: false, memory: false, swap: false };
    expect(describeContainer(parts({ plan: { resources }, facts: { limits } })).limits).toEqual({ swaps: true });
  });
});

describe('describeDifferences', () => {
  it('is silent where there are none', () => {
    const resources = { cpus: 4, memory: '8G' };
    expect(describeDifferences(parts({ plan: { resources } }))).toEqual([]);
  });

  it('tells of each', () => {
    const resources = { cpus: 32, memory: '64G', gpus: { count: 2 } };
    const info = { ...emptyImage, architecture: 'arm64', environment: ['my.var=1'] };
    const limits = { cpus: true, memory: false, swap: false };
    const identity = { uid: 0, gid: 0, name: 'mia' };
    const told = describeDifferences(parts({ plan: { resources }, facts: { limits }, rest: { info, identity } }));
    const subjects = [/my\.var/, /arm64.*emulated/, /2 GPUs/, /32 CPU cores.*4 here/, /memory/, /limit/, /root/];
    expect(told).toHaveLength(subjects.length);
    for (const [index, subject] of subjects.entries()) expect(told[index]).toMatch(subject);
  });
});
