/** A row of a CSV file. */
export interface CsvRow {
  /** Of its first line, from 1. */
  line: number;
  fields: CsvField[];
}

export interface CsvField {
  text: string;
  /** Whether it stood in quotes, and so means itself. */
  isQuoted: boolean;
}

/** Where a text is no CSV. */
export class CsvError extends Error {
  constructor(
    readonly line: number,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Reads comma-separated values (RFC 4180): fields in double quotes may hold commas, line ends and doubled quotes. Blanks around
 * other fields and empty lines are passed over. Throws CsvError.
 */
export function parseCsv(text: string): CsvRow[] {
  const rows: CsvRow[] = [];
  let line = 1;
  let row: CsvRow = { line, fields: [] };
  let at = text.startsWith('\uFEFF') ? 1 : 0;
  const endRow = () => {
    const isEmpty = row.fields.length === 1 && row.fields.every((field) => field.text === '' && !field.isQuoted);
    if (!isEmpty) rows.push(row);
    row = { line, fields: [] };
  };
  while (at < text.length || row.fields.length > 0) {
    const quoted = matchAt(/[ \t]*"((?:[^"]|"")*)("?)[ \t]*/y, text, at);
    const field = quoted ?? matchAt(/[^,\r\n]*/y, text, at) ?? [''];
    if (quoted?.[2] === '') throw new CsvError(line, 'a quote is not closed');
    if (!quoted && field[0].includes('"')) throw new CsvError(line, 'a quote stands in the middle of a value');
    row.fields.push({ text: quoted?.[1]?.replaceAll('""', '"') ?? field[0].trim(), isQuoted: quoted !== null });
    line += field[0].split('\n').length - 1;
    at += field[0].length;
    const end = matchAt(/\r?\n|\r|$/y, text, at);
    if (end) {
      line += 1;
      at += end[0].length;
      endRow();
    } else if (text[at] === ',') at += 1;
    else throw new CsvError(line, 'something stands behind a closing quote');
  }
  return rows;
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}
