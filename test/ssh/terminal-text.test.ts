import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { printable } from '../../src/ssh/terminal-text.js';

describe('printable', () => {
  it.each([
    ['plain text, ünïcode 漢字 😀', 'plain text, ünïcode 漢字 😀'],
    ['two\nlines\tand a tab', 'two\nlines\tand a tab'],
    ['dos\r\nlines\r\n', 'dos\nlines\n'],
    ['\u001b[31mred\u001b[0m', '\\x1b[31mred\\x1b[0m'],
    ['over\rwritten', 'over\\x0dwritten'],
    ['bell\u0007 back\u0008 nul\u0000 del\u007f', 'bell\\x07 back\\x08 nul\\x00 del\\x7f'],
    ['\u009b31m', '\\x9b31m'],
    ['abc\u202ecba\u2066', 'abc\\u202ecba\\u2066'],
  ])('%j becomes %j', (text, expected) => {
    expect(printable(text)).toBe(expected);
  });

  it('leaves nothing that a terminal could obey, and changes nothing else', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const shown = printable(text);
        expect(shown).not.toMatch(/(?![\n\t])[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
        expect(printable(shown)).toBe(shown);
        if (!/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(text)) expect(shown).toBe(text);
      }),
    );
  });
});
