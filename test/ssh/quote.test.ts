import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quote, quoteAll } from '../../src/ssh/quote.js';
import { runShell } from '../support/shell.js';
import { anyWord, shellWord } from '../support/text.js';

const words = fc.array(fc.oneof(anyWord, shellWord), { minLength: 1, maxLength: 60 });

describe('quote', () => {
  it.each([
    ['', "''"],
    ['plain', 'plain'],
    ['/a/b-c_d.e:f,g@h%i+j=k', '/a/b-c_d.e:f,g@h%i+j=k'],
    ['two words', "'two words'"],
    ["it's", "'it'\\''s'"],
    ['$HOME', "'$HOME'"],
    ['~', "'~'"],
    ['line\n', "'line\n'"],
    ['é', "'é'"],
  ])('%j is written as %s', (word, expected) => {
    expect(quote(word)).toBe(expected);
  });

  it.each(['\0', 'a\0b'])('refuses %j', (word) => {
    expect(() => quote(word)).toThrow(RangeError);
  });

  it.each(['/bin/sh', 'bash'])('brings every word through %s unchanged', (shell) => {
    fc.assert(
      fc.property(words, (list) => {
        const { stdout, stderr } = runShell(shell, `printf '%s\\0' ${quoteAll(list)}`);
        expect(stderr).toBe('');
        expect(stdout).toBe(list.map((word) => `${word}\0`).join(''));
      }),
      { numRuns: 30 },
    );
  });

  it('leaves a word whole when it is quoted for two shells, one inside the other', () => {
    fc.assert(
      fc.property(words, (list) => {
        const inner = `printf '%s\\0' ${quoteAll(list)}`;
        expect(runShell('/bin/sh', `bash -c ${quote(inner)}`).stdout).toBe(list.map((word) => `${word}\0`).join(''));
      }),
      { numRuns: 15 },
    );
  });
});
