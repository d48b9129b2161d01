import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { loadYamlFile, parseYaml } from '../../src/config/yaml-file.js';
import { failureOf } from '../support/failure.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const schema = z.strictObject({
  name: z.string().optional(),
  resources: z.strictObject({ memory: z.string().optional(), time: z.string().optional() }).optional(),
  ports: z.array(z.int()).optional(),
  clusters: z.record(z.string(), z.strictObject({ host: z.string().optional() })).optional(),
});

const problemsOf = async (text: string) => {
  const error = await failureOf(() => parseYaml(text, 'hpcrun.yaml', schema));
  expect(error.code).toBe('CONFIG_INVALID');
  expect(error.hint).toContain('docs/configuration.md');
  return error.message.split('\n');
};

describe('parseYaml', () => {
  it.each([
    ['', {}],
    ['# nothing but a comment\n', {}],
    ['name: digits\nports: [1, 2]\n', { name: 'digits', ports: [1, 2] }],
    ['resources: &r {time: 2h}\n', { resources: { time: '2h' } }],
  ])('reads %j', (text, expected) => {
    expect(parseYaml(text, 'hpcrun.yaml', schema)).toEqual(expected);
  });

  it('reports all problems at once, in the order of the file, each with line and key', async () => {
    const problems = await problemsOf(
      ['clusters:', '  claix:', '    hots: x', 'ports:', '  - 1', '  - two', 'name: 5', 'nmae: x'].join('\n'),
    );
    expect(problems).toHaveLength(4);
    expect(problems[0]).toBe('hpcrun.yaml:3: clusters.claix.hots: unknown key; did you mean "host"?');
    expect(problems[1]).toMatch(/^hpcrun\.yaml:6: ports\.1: .*expected number/);
    expect(problems[2]).toMatch(/^hpcrun\.yaml:7: name: .*expected string/);
    expect(problems[3]).toBe('hpcrun.yaml:8: nmae: unknown key; did you mean "name"?');
  });

  it.each([
    ['resources: {mem: 1}', 'resources.mem: unknown key; allowed are memory, time'],
    ['resources: {memry: 1}', 'resources.memry: unknown key; did you mean "memory"?'],
    ['resources: {MEMORY: 1}', 'resources.MEMORY: unknown key; did you mean "memory"?'],
    ['resorces: {}', 'resorces: unknown key; did you mean "resources"?'],
    ['volumes: {}', 'volumes: unknown key; allowed are name, resources, ports, clusters'],
  ])('says what may have been meant by %j', async (text, expected) => {
    expect(await problemsOf(text)).toEqual([`hpcrun.yaml:1: ${expected}`]);
  });

  it('explains text that YAML takes for a reference', async () => {
    const [problem] = await problemsOf('resources:\n  memory: *.log\n');
    expect(problem).toMatch(/^hpcrun\.yaml:2: "\*\.log" is a reference.* needs quotes$/);
  });

  it('names the line of a nested key, not of its parent', async () => {
    expect(await problemsOf('resources:\n  time: 2h\n\n  # why\n  tme: 2h\n')).toEqual([
      'hpcrun.yaml:5: resources.tme: unknown key; did you mean "time"?',
    ]);
  });

  it('refuses a key that is there twice', async () => {
    expect(await problemsOf('name: a\nports: []\nname: b\n')).toEqual(['hpcrun.yaml:3: Map keys must be unique']);
  });

  it.each([
    ['ports: []\nname: "open\n', 3],
    ['ports: []\nname: a: b\n', 2],
    ['name: a\nports: [1, 2\n', 3],
    ['name: a\n\tports: []\n', 2],
    ['name: a\n---\nname: b\n', 2],
  ])('says where the syntax of %j is broken', async (text, line) => {
    const problems = await problemsOf(text);
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.map((problem) => Number(/^hpcrun\.yaml:(\d+): ./.exec(problem)?.[1]))).toContain(line);
  });

  it.each(['just words', '- a\n- b\n', '5'])('refuses %j, which is no mapping', async (text) => {
    const problems = await problemsOf(text);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/^hpcrun\.yaml:1: file: .*expected object/);
  });
});

describe('loadYamlFile', () => {
  it('gives undefined for a missing file and the content of one that is there', async () => {
    const directory = await makeTemporaryDirectory();
    const file = join(directory, 'config.yaml');
    expect(await loadYamlFile(file, schema)).toBeUndefined();
    await writeFile(file, 'name: digits\n');
    expect(await loadYamlFile(file, schema)).toEqual({ name: 'digits' });
  });

  it('names the file in errors', async () => {
    const file = join(await makeTemporaryDirectory(), 'config.yaml');
    await writeFile(file, '\nnmae: x\n');
    const error = await failureOf(() => loadYamlFile(file, schema));
    expect(error.message).toBe(`${file}:2: nmae: unknown key; did you mean "name"?`);
  });

  it('refuses what cannot be read', async () => {
    const file = join(await makeTemporaryDirectory(), 'config.yaml');
    await mkdir(file);
    const error = await failureOf(() => loadYamlFile(file, schema));
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain(file);
  });
});
