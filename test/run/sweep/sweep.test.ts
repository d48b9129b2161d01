import { describe, expect, it } from 'vitest';
import { parseSweepFile } from '../../../src/run/sweep/sweep-file.js';
import { parseSweepOption } from '../../../src/run/sweep/sweep-option.js';
import { multiplyTables, parameterVariable, requireSweep } from '../../../src/run/sweep/sweep.js';
import { failureOf } from '../../support/failure.js';

describe('parseSweepOption', () => {
  it.each<[string, string[]]>([
    ['lr=0.1,0.01', ['0.1', '0.01']],
    ['seed=1..4', ['1', '2', '3', '4']],
    ['seed=4..1', ['4', '3', '2', '1']],
    ['seed=-2..2..2', ['-2', '0', '2']],
    ['seed=7,1..3', ['7', '1', '2', '3']],
    ['seed="1..3"', ['1..3']],
    ['layers="1,2","3"', ['1,2', '3']],
    ['note="say ""hi"""', ['say "hi"']],
    ['path=../a,../b', ['../a', '../b']],
    ['path=a/../b', ['a/../b']],
    ['name=a=b', ['a=b']],
    ['empty=""', ['']],
  ])('reads %s', (text, values) => {
    const [name = ''] = text.split('=');
    expect(parseSweepOption(text)).toEqual({ parameters: [name], tasks: values.map((value) => [value]) });
  });

  it.each<[string, RegExp]>([
    ['lr', /NAME=VALUES/],
    ['=1', /NAME=VALUES/],
    ['lr=', /no values/],
    ['lr=1,,2', /empty value/],
    ['lr=0.1..0.5', /not of whole numbers/],
    ['lr=1..5..0', /steps of 0/],
    ['lr=0..9999999', /10000000 values/],
    ['lr="1', /quote is not closed/],
  ])('refuses %s', async (text, message) => {
    const failure = await failureOf(() => parseSweepOption(text));
    expect(failure).toMatchObject({ code: 'USAGE' });
    expect(failure.message).toMatch(message);
  });
});

describe('multiplyTables and requireSweep', () => {
  it('takes each value with each, the last parameter first', () => {
    const tables = [parseSweepOption('a=1,2'), parseSweepOption('b=x,y')];
    expect(multiplyTables(tables)).toEqual({
      parameters: ['a', 'b'],
      tasks: [
        ['1', 'x'],
        ['1', 'y'],
        ['2', 'x'],
        ['2', 'y'],
      ],
    });
  });

  it('refuses more tasks than any cluster would like, before they are made', async () => {
    const table = parseSweepOption('a=1..10000');
    const failure = await failureOf(() => multiplyTables([table, { ...table, parameters: ['b'] }]));
    expect(failure.message).toContain('100000000 tasks');
  });

  it.each<[string, { parameters: string[]; tasks: string[][] }, RegExp]>([
    ['no tasks', { parameters: ['a'], tasks: [] }, /no tasks/],
    ['no parameters', { parameters: [], tasks: [[]] }, /no tasks/],
    ['a parameter given twice', { parameters: ['a', 'a'], tasks: [['1', '2']] }, /a is given twice/],
    ['two names of one variable', { parameters: ['a-b', 'A.b'], tasks: [['1', '2']] }, /HPCRUN_PARAM_A_B/],
    ['a name that is none', { parameters: ['a b'], tasks: [['1']] }, /"a b"/],
    ['a NUL byte', { parameters: ['a'], tasks: [['1'], ['\0']] }, /task 1 holds a NUL/],
    ['a value too long', { parameters: ['a'], tasks: [['x'.repeat(40_000)]] }, /longer than/],
  ])('refuses %s', async (_, table, message) => {
    const failure = await failureOf(() => {
      requireSweep(table);
    });
    expect(failure).toMatchObject({ code: 'USAGE' });
    expect(failure.message).toMatch(message);
  });

  it('names variables in capitals', () => {
    expect(['lr', 'batch-size', 'optimizer.lr', 'Seed_2'].map(parameterVariable)).toEqual([
      'HPCRUN_PARAM_LR',
      'HPCRUN_PARAM_BATCH_SIZE',
      'HPCRUN_PARAM_OPTIMIZER_LR',
      'HPCRUN_PARAM_SEED_2',
    ]);
  });
});

describe('parseSweepFile', () => {
  const table = {
    parameters: ['lr', 'name'],
    tasks: [
      ['1e-3', 'a'],
      ['0.10', 'b, c'],
    ],
  };

  it.each<[string, string]>([
    ['a.csv', 'lr,name\n1e-3,a\n0.10,"b, c"\n'],
    ['a.jsonl', '{"lr": 1e-3, "name": "a"}\n\n{"name": "b, c", "lr": 0.10}\n'],
    ['a.yaml', '- {lr: 1e-3, name: a}\n- lr: 0.10\n  name: "b, c"\n'],
  ])('reads %s, numbers as they are written', (path, text) => {
    expect(parseSweepFile(path, text)).toEqual(table);
  });

  it('takes the product of an object of lists', () => {
    expect(parseSweepFile('a.yml', 'lr: [0.1, 0.2]\nseed: 3\nflag: [true, no]\n')).toEqual({
      parameters: ['lr', 'seed', 'flag'],
      tasks: [
        ['0.1', '3', 'true'],
        ['0.1', '3', 'no'],
        ['0.2', '3', 'true'],
        ['0.2', '3', 'no'],
      ],
    });
  });

  it.each<[string, string, RegExp]>([
    ['a.csv', 'a,b\n1,2\n1\n', /line 3: 1 values for 2 names/],
    ['a.csv', 'a\n1"\n', /line 2: a quote/],
    ['a.jsonl', '{"a": 1}\n{"a": }\n', /line 2: /],
    ['a.jsonl', '{"a": 1}\n{"b": 1}\n', /line 2: there is no a/],
    ['a.jsonl', '{"a": 1}\n{"a": 1, "b": 1}\n', /line 2: there is a b/],
    ['a.jsonl', '{"a": [1]}\n', /line 1: a value must be/],
    ['a.jsonl', '{"a": null}\n', /line 1: a value must be/],
    ['a.jsonl', '[1]\n', /line 1: this is not an object/],
    ['a.yaml', '- a: 1\n- a: {b: 1}\n', /line 2: a value must be/],
    ['a.yaml', 'a: [1\n', /line \d: /],
    ['a.yaml', 'text\n', /neither/],
    ['a.txt', '', /does not tell/],
  ])('refuses what is wrong in %s with its line: %j', async (path, text, message) => {
    const failure = await failureOf(() => parseSweepFile(path, text));
    expect(failure).toMatchObject({ code: 'USAGE' });
    expect(failure.message).toMatch(message);
  });
});
