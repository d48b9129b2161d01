import { describe, expect, it } from 'vitest';
import { parseEnvFile, parseRunRequest } from '../../src/cli/run-options.js';
import { failureOf } from '../support/failure.js';

describe('parseEnvFile', () => {
  it('reads a variable a line, as Docker does', () => {
    expect(parseEnvFile('\uFEFFA=1\n# comment\n\n  B="x # y" \r\nC\nD=\n')).toEqual(['A=1', 'B="x # y" ', 'C', 'D=']);
  });
});

describe('parseRunRequest', () => {
  it('takes words, resources and binds', () => {
    const options = { name: 'a', cpus: '2', memory: '2G', env: ['A=1'], volume: ['/a:/b:ro'], buildArg: ['X'] };
    expect(parseRunRequest(['train.py', '-x'], false, options, '/')).toMatchObject({
      words: ['train.py', '-x'],
      isCommand: false,
      name: 'a',
      resources: { cpus: 2, memory: '2G' },
      env: ['A=1'],
      binds: [{ source: '/a', target: '/b', readonly: true }],
      buildArgs: ['X'],
    });
  });

  it.each([
    [{ cpus: 'many' }, /--cpus/],
    [{ memory: 'much' }, /--memory/],
    [{ name: 'a b' }, /--name/],
    [{ envFile: ['/nowhere'] }, /--env-file.*nowhere/],
  ])('refuses %o', async (options, message) => {
    const failure = await failureOf(() => parseRunRequest([], false, options, '/'));
    expect(failure.code).toBe('USAGE');
    expect(failure.message).toMatch(message);
  });
});
