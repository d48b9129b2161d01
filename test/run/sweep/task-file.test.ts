import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCsv } from '../../../src/run/sweep/csv.js';
import { fillCommand, requirePlaceholders } from '../../../src/run/sweep/fill-command.js';
import { renderParameterTable, renderTaskFile } from '../../../src/run/sweep/task-file.js';
import { failureOf } from '../../support/failure.js';
import { runShell } from '../../support/shell.js';
import { shellWord } from '../../support/text.js';

describe('fillCommand', () => {
  it.each<[string, string[], string[], string[], string[]]>([
    ['appends what no word names', ['t.py'], ['lr', 'seed'], ['0.1', '1'], ['t.py', '--lr', '0.1', '--seed', '1']],
    ['fills words', ['t.py', '--x={lr}', '{lr}/{seed}'], ['lr', 'seed'], ['0.1', '1'], ['t.py', '--x=0.1', '0.1/1']],
    ['fills some and appends the others', ['t.py', '{lr}'], ['lr', 'seed'], ['1', '2'], ['t.py', '1', '--seed', '2']],
    ['keeps doubled braces', ['t.py', '{{lr}}'], ['lr'], ['1'], ['t.py', '{lr}', '--lr', '1']],
    [
      'leaves other braces',
      ['t.py', '{"a": {"b": 1}}', '{}', '{ x }'],
      [],
      [],
      ['t.py', '{"a": {"b": 1}}', '{}', '{ x }'],
    ],
    ['fills no value', ['{a}', '{b}'], ['a', 'b'], ['{b}', '{a}'], ['{b}', '{a}']],
    [
      'joins a value that looks like an option',
      ['t.py'],
      ['a', 'b'],
      ['--rm', '-0.5'],
      ['t.py', '--a=--rm', '--b', '-0.5'],
    ],
  ])('%s', (_, command, parameters, values, expected) => {
    expect(fillCommand(command, parameters, values)).toEqual(expected);
  });

  it('refuses a placeholder without a parameter', async () => {
    const failure = await failureOf(() => {
      requirePlaceholders({ parameters: ['lr'] }, ['t.py', '{lr}', '{rate}', '{{x}}']);
    });
    expect(failure).toMatchObject({ code: 'USAGE', message: 'there is no parameter rate for {rate}; there are lr' });
  });
});

describe('renderTaskFile', () => {
  it('brings every value through bash as it is', () => {
    const tasks = fc.array(fc.tuple(shellWord, shellWord), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(tasks, (values) => {
        const script = renderTaskFile({ command: ['run', 'a {x} b'] }, { parameters: ['x', 'y-z'], tasks: values });
        const show = `printf '%s\\0' "\${arguments[@]}" "$APPTAINERENV_HPCRUN_PARAM_X" "$APPTAINERENV_HPCRUN_PARAM_Y_Z"`;
        for (const [index, [x, y]] of values.entries()) {
          const { stdout, stderr } = runShell('bash', `task=${index}\n${script}\n${show}`);
          const appended = /^-(?!\.?\d)/.test(y) ? [`--y-z=${y}`] : ['--y-z', y];
          expect(stderr).toBe('');
          expect(stdout.split('\0').slice(0, -1)).toEqual(['run', `a ${x} b`, ...appended, x, y]);
        }
      }),
      { numRuns: 25 },
    );
  });
});

describe('renderParameterTable', () => {
  it('is CSV that can be read back', () => {
    const tasks = fc.array(fc.tuple(fc.string(), fc.string()), { minLength: 1 });
    fc.assert(
      fc.property(tasks, (values) => {
        const rows = parseCsv(renderParameterTable({ parameters: ['x', 'y'], tasks: values }));
        expect(rows.map(({ fields }) => fields.map(({ text }) => text))).toEqual([
          ['task', 'x', 'y'],
          ...values.map((row, index) => [String(index), ...row]),
        ]);
      }),
    );
  });
});
