import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderEnvironment } from '../../src/run/submission.js';
import { runShell } from '../support/shell.js';
import { anyWord, shellWord } from '../support/text.js';

describe('renderEnvironment', () => {
  it('gives a job every value unchanged, through bash and into its children', () => {
    const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,20}$/);
    const variables = fc.dictionary(name, fc.oneof(anyWord, shellWord), { maxKeys: 12, noNullPrototype: true });
    fc.assert(
      fc.property(variables, (values) => {
        const { stdout, stderr } = runShell('bash', `${renderEnvironment(values)}\nexec env -0`);
        expect(stderr).toBe('');
        const seen = stdout.split('\0').filter((line) => line.startsWith('APPTAINERENV_'));
        const expected = Object.entries(values).map(([key, value]) => `APPTAINERENV_${key}=${value}`);
        expect(seen.sort()).toEqual(expected.sort());
      }),
      { numRuns: 50 },
    );
  });

  it('is empty for a job without variables', () => {
    expect(renderEnvironment({})).toBe('');
  });

  it('refuses what no variable can hold', () => {
    expect(() => renderEnvironment({ A: 'a\0b' })).toThrow(RangeError);
  });
});
