import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { attributed, printable, printableLine } from '../../src/ssh/terminal-text.js';

// The first strings of fast-check take seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

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
        expect(shown).not.toMatch(/(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u);
        expect(printable(shown)).toBe(shown);
        if (!/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u.test(text)) expect(shown).toBe(text);
      }),
    );
  });
});

describe('printableLine', () => {
  it('is one line', () => {
    expect(printableLine(' one\r\n  two\u001b \n')).toBe('one / two\\x1b');
  });
});

describe('attributed', () => {
  it('names the speaker before each line, and breaks long ones', () => {
    expect(attributed('one\ntwo', 'ada@claix')).toBe('(ada@claix) one\n(ada@claix) two');
    expect(attributed('0123456789', 'me', 9)).toBe('(me) 0123\n(me) 4567\n(me) 89');
    expect(attributed('漢字漢', 'me', 9)).toBe('(me) 漢字\n(me) 漢');
    expect(attributed('', 'me')).toBe('(me) ');
  });

  it('leaves no row of a terminal without the name, whatever the text', () => {
    const text = fc.string({
      unit: fc.oneof(
        fc.constantFrom('\n', ' ', '\t', '\r', '\u2028', '\u200f'),
        fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
      ),
    });
    fc.assert(
      fc.property(text, fc.integer({ min: 20, max: 200 }), (said, columns) => {
        for (const row of attributed(said, 'ada@claix', columns).split('\n')) {
          expect(row).toMatch(/^\(ada@claix\) [^\p{Cc}\p{Zl}\p{Zp}]*$/u);
          // No character is wider than two columns.
          const width = Array.from(row).reduce((sum, character) => sum + (character < '\u0080' ? 1 : 2), 0);
          expect(width).toBeLessThanOrEqual(columns);
        }
      }),
    );
  });
});
