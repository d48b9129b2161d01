import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node } from 'yaml';
import { HpcrunError, isSystemError, messageOf } from '../../errors.js';
import { CsvError, parseCsv } from './csv.js';
import { multiplyTables, type SweepTable } from './sweep.js';

/** Reads `--sweep-file`. Throws USAGE. */
export async function readSweepFile(path: string): Promise<SweepTable> {
  try {
    return parseSweepFile(path, await readFile(path, 'utf8'));
  } catch (error) {
    if (!['ENOENT', 'EACCES', 'EISDIR'].some((code) => isSystemError(error, code))) throw error;
    throw new HpcrunError('USAGE', `--sweep-file: ${messageOf(error)}`, { hint: formats });
  }
}

const formats = 'It is a .csv with a line of names, a .jsonl with an object a line, or a .yaml with a list of objects.';

/**
 * The tasks of a file by its ending: `.csv` with a header, `.jsonl` with an object a line, `.yaml` with a list of objects, or an
 * object of lists, of which the product is taken. Numbers stay as they are written. Throws USAGE, with the line.
 */
export function parseSweepFile(path: string, text: string): SweepTable {
  switch (extname(path).toLowerCase()) {
    case '.csv':
      return fromCsv(path, text);
    case '.jsonl':
    case '.ndjson':
      return fromJsonLines(path, text);
    case '.yaml':
    case '.yml':
      return fromYaml(path, text);
    default:
      throw new HpcrunError('USAGE', `--sweep-file ${path}: its name does not tell what it is`, { hint: formats });
  }
}

function mistake(path: string, line: number, what: string): HpcrunError {
  return new HpcrunError('USAGE', `${path}, line ${line}: ${what}`, { hint: formats });
}

function fromCsv(path: string, text: string): SweepTable {
  try {
    const [header, ...rows] = parseCsv(text);
    const parameters = header?.fields.map((field) => field.text) ?? [];
    const tasks = rows.map(({ line, fields }) => {
      if (fields.length === parameters.length) return fields.map((field) => field.text);
      throw mistake(path, line, `${fields.length} values for ${parameters.length} names`);
    });
    return { parameters, tasks };
  } catch (error) {
    if (error instanceof CsvError) throw mistake(path, error.line, error.message);
    throw error;
  }
}

function fromJsonLines(path: string, text: string): SweepTable {
  const rows = text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .flatMap((content, index) => {
      if (content.trim() === '') return [];
      const line = index + 1;
      try {
        JSON.parse(content);
      } catch (error) {
        throw mistake(path, line, messageOf(error));
      }
      // As YAML, which JSON is, the spelling of numbers is kept.
      return [{ line, values: readObject(path, parseDocument(content).contents, () => line) }];
    });
  return joinRows(path, rows);
}

function fromYaml(path: string, text: string): SweepTable {
  const lines = new LineCounter();
  const document: Document.Parsed = parseDocument(text, { lineCounter: lines });
  const [error] = document.errors;
  if (error) throw mistake(path, error.linePos?.[0].line ?? 1, error.message.split('\n')[0] ?? '');
  const lineOf = (node: unknown) => lines.linePos((node as Node | null)?.range?.[0] ?? 0).line;
  const { contents } = document;
  if (isSeq(contents)) {
    return joinRows(
      path,
      contents.items.map((item) => ({ line: lineOf(item), values: readObject(path, item, lineOf) })),
    );
  }
  if (!isMap(contents)) throw mistake(path, 1, 'there is neither a list of objects nor an object of lists');
  return multiplyTables(
    contents.items.map(({ key, value }) => {
      const items = isSeq(value) ? value.items : [value];
      return { parameters: [String(key)], tasks: items.map((item) => [readScalar(path, item, lineOf(item))]) };
    }),
  );
}

function readObject(path: string, node: unknown, lineOf: (node: unknown) => number): Map<string, string> {
  if (!isMap(node)) throw mistake(path, lineOf(node), 'this is not an object of names and values');
  return new Map(node.items.map(({ key, value }) => [String(key), readScalar(path, value, lineOf(value ?? key))]));
}

function readScalar(path: string, node: unknown, line: number): string {
  const value: unknown = isScalar(node) ? node.value : undefined;
  if (isScalar(node) && typeof value === 'string') return value;
  if (isScalar(node) && (typeof value === 'number' || typeof value === 'boolean')) return node.source ?? String(value);
  throw mistake(path, line, 'a value must be text, a number, true or false');
}

function joinRows(path: string, rows: { line: number; values: Map<string, string> }[]): SweepTable {
  const parameters = [...(rows[0]?.values.keys() ?? [])];
  const tasks = rows.map(({ line, values }) => {
    const missing = parameters.find((name) => !values.has(name));
    if (missing !== undefined) throw mistake(path, line, `there is no ${missing}, which the first object has`);
    const more = [...values.keys()].find((name) => !parameters.includes(name));
    if (more !== undefined) throw mistake(path, line, `there is a ${more}, which the first object does not have`);
    return parameters.map((name) => values.get(name) ?? '');
  });
  return { parameters, tasks };
}
