import { describe, expect, it } from 'vitest';
import { projectSchema, userSchema } from '../../src/config/schema.js';
import { parseYaml } from '../../src/config/yaml-file.js';
import { failureOf } from '../support/failure.js';

const parse = (text: string) => parseYaml(text, 'hpcrun.yaml', projectSchema);

describe('hpcrun.yaml', () => {
  it('needs nothing', () => {
    expect(parse('')).toEqual({
      image: { platform: 'auto', permissions: 'open' },
      mount: '/workspace',
      template: 'single',
      binds: [],
      env: {},
      secrets: [],
      results: { exclude: [] },
      resources: {},
      clusters: {},
    });
  });

  it('turns quantities into the spelling of SLURM and values into text', () => {
    const config = parse(`
name: digits
resources: {gpus: h100:2, cpus: 8, memory: 32 GiB, time: 1h30m, partition: c23g, account: thes1234}
env: {EPOCHS: 5, DEBUG: true, NAME: a b}
binds: ['$WORK/data:/data:ro']
image: {args: {VERSION: 3}}
`);
    expect(config.resources).toEqual({
      gpus: { type: 'h100', count: 2 },
      cpus: 8,
      memory: '32G',
      time: 5400,
      partition: 'c23g',
      account: 'thes1234',
    });
    expect(config.env).toEqual({ EPOCHS: '5', DEBUG: 'true', NAME: 'a b' });
    expect(config.binds).toEqual([{ source: '$WORK/data', target: '/data', readonly: true }]);
    expect(config.image).toEqual({ args: { VERSION: '3' }, platform: 'auto', permissions: 'open' });
  });

  it.each([
    ['resources: {gpus: 2}', { gpus: { count: 2 } }],
    ['resources: {memory: 4000}', { memory: '4000M' }],
    ['resources: {time: 30}', { time: 1800 }],
    ['resources: {time: 1-12:00:00}', { time: 129_600 }],
    ['resources: {time: 1:30:00}', { time: 5400 }],
  ])('%s', (text, expected) => {
    expect(parse(text).resources).toEqual(expected);
  });

  it('takes an image that is built, named or a finished SIF, and a size for the cache', () => {
    expect(parse('image: {name: "debian:12"}').image).toMatchObject({ name: 'debian:12' });
    expect(parse('image: {sif: a.sif, permissions: keep}').image).toMatchObject({ sif: 'a.sif', permissions: 'keep' });
    expect(parseYaml('cache: {size: 5 GiB}', 'config.yaml', userSchema).cache).toEqual({ size: 5 * 2 ** 30 });
  });

  it.each([
    [
      'resources: {gpus: many}',
      'resources.gpus: must be a number such as 1, or type:number such as h100:2, not "many"',
    ],
    ['resources: {gpus: [1]}', 'resources.gpus: must be a number such as 1'],
    ['resources: {memory: lots}', 'resources.memory: must be a size such as 32G, not "lots"'],
    ['image: {name: a, sif: b}', 'image: name and sif exclude each other'],
    ['image: {target: x, name: b}', 'image: target and name exclude each other'],
    ['image: {platform: windows/amd64}', 'image.platform: must be auto or a platform such as linux/amd64'],
    ['engine: lxc', 'engine: must be docker or podman'],
    ['convert: magic', 'convert: must be one of auto, native'],
    ['resources: {time: soon}', 'resources.time: must be a time such as 2h'],
    ['resources: {time: 0}', 'resources.time: must be a time such as 2h'],
    ['resources: {cpus: 0}', 'resources.cpus: '],
    ['resources: {cpus: 1.5}', 'resources.cpus: '],
    ['resources: {partition: "a b"}', 'resources.partition: must be letters'],
    ['resources: {account: "x\\n#SBATCH --uid=0"}', 'resources.account: must be letters'],
    ['resources: {gpu: 1}', 'resources.gpu: unknown key; did you mean "gpus"?'],
    ['name: "a b"', 'name: must be letters'],
    ['mount: workspace', 'mount: must be an absolute path'],
    ['mount: /', 'mount: must be an absolute path'],
    ['mount: "/a:b"', 'mount: must be an absolute path'],
    ['binds: [data:/data]', 'binds.0: bind "data:/data": the source "data" must be an absolute path'],
    ['env: {1X: a}', 'env.1X: '],
    ['env: {A: [1]}', 'env.A: '],
    ['secrets: [A=b]', 'secrets.0: is not a variable name'],
    ['cluster: "-x"', 'cluster: is not a cluster name'],
    ['clusters: {a: {root: data}}', 'clusters.a.root: must be an absolute path on the cluster'],
    ['clusters: {a: {port: 70000}}', 'clusters.a.port: '],
    ['clusters: {a: {compression: lz4}}', 'clusters.a.compression: '],
    ['clusters: {a: {pollSeconds: 0}}', 'clusters.a.pollSeconds: '],
    ['clusters: {a: {modules: ["x; rm -rf ~"]}}', 'clusters.a.modules.0: is not a module name'],
    ['clusters: {../a: {}}', 'clusters.../a: '],
    ['image: {dockerfile: ""}', 'image.dockerfile: '],
  ])('refuses %s', async (text, problem) => {
    const error = await failureOf(() => parse(text));
    expect(error.message.split('\n')).toHaveLength(1);
    expect(error.message).toContain(`hpcrun.yaml:1: ${problem}`);
  });
});

describe("the user's config.yaml", () => {
  it('holds clusters and the default one, and nothing of a project', async () => {
    const text = 'cluster: a\nclusters: {a: {host: login.example.org, user: ada, port: 2222}}\n';
    expect(parseYaml(text, 'config.yaml', userSchema)).toEqual({
      cache: {},
      cluster: 'a',
      clusters: { a: { host: 'login.example.org', user: 'ada', port: 2222 } },
    });
    const error = await failureOf(() => parseYaml('resources: {}', 'config.yaml', userSchema));
    expect(error.message).toContain('config.yaml:1: resources: unknown key');
  });
});
