import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CsvError, parseCsv } from '../../../src/run/sweep/csv.js';

const texts = (text: string) => parseCsv(text).map(({ fields }) => fields.map((field) => field.text));

describe('parseCsv', () => {
  it.each<[string, string, string[][]]>([
    [
      'lines and fields',
      'a,b\n1,2\n',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    ['a last line without an end', 'a,b', [['a', 'b']]],
    [
      'line ends of Windows and a byte order mark',
      '\uFEFFa,b\r\n1,2\r\n',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    ['quoted commas, quotes and line ends', '"a,b","say ""hi""","two\nlines"', [['a,b', 'say "hi"', 'two\nlines']]],
    ['blanks around values', ' a , "b " ,c', [['a', 'b ', 'c']]],
    [
      'empty values',
      'a,,\n"",b,',
      [
        ['a', '', ''],
        ['', 'b', ''],
      ],
    ],
    ['empty lines, which are passed over', '\na\n\n\nb\n\n', [['a'], ['b']]],
    ['nothing', '', []],
  ])('reads %s', (_, text, expected) => {
    expect(texts(text)).toEqual(expected);
  });

  it.each<[string, string, number]>([
    ['an open quote', 'a\n"b', 2],
    ['a quote within', 'a\n\nb"c"', 3],
    ['more behind a quote', '"a\nb"\n"c"d', 3],
  ])('refuses %s, with its line', (_, text, line) => {
    expect(() => parseCsv(text)).toThrow(CsvError);
    try {
      parseCsv(text);
    } catch (error) {
      expect(error).toMatchObject({ line });
    }
  });

  it('reads back every table of quoted values, and knows the lines of its rows', () => {
    const table = fc.array(fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 4 }), { maxLength: 5 });
    fc.assert(
      fc.property(table, (rows) => {
        const lines = rows.map((row) => row.map((text) => `"${text.replaceAll('"', '""')}"`).join(','));
        expect(texts(lines.join('\n'))).toEqual(rows);
        let line = 1;
        const starts = rows.map((row) => {
          const start = line;
          line += 1 + row.join('').split('\n').length - 1;
          return start;
        });
        expect(parseCsv(lines.join('\n')).map((row) => row.line)).toEqual(starts);
      }),
    );
  });
});
