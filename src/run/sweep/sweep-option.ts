import { HpcrunError } from '../../errors.js';
import { CsvError, parseCsv } from './csv.js';
import { sweepHint, type SweepTable } from './sweep.js';

const longestRange = 100_000;

/**
 * `lr=0.1,0.01` or `seed=1..5` (whole numbers, both ends included; `0..100..10` in steps). Values with commas, and such as
 * are to be taken literally, stand in double quotes. Throws USAGE.
 */
export function parseSweepOption(text: string): SweepTable {
  const equals = text.indexOf('=');
  if (equals < 1) throw mistake(text, 'has no NAME=VALUES');
  const name = text.slice(0, equals);
  const values = readValues(text, text.slice(equals + 1)).flatMap((field) =>
    field.isQuoted ? [field.text] : expandRange(text, field.text),
  );
  return { parameters: [name], tasks: values.map((value) => [value]) };
}

function readValues(text: string, list: string) {
  try {
    const [row, more] = parseCsv(list);
    if (more) throw mistake(text, 'has more than one line; values with line ends stand in double quotes');
    if (!row) throw mistake(text, 'has no values');
    if (row.fields.some((field) => field.text === '' && !field.isQuoted)) {
      throw mistake(text, 'has an empty value; an empty one is written ""');
    }
    return row.fields;
  } catch (error) {
    if (error instanceof CsvError) throw mistake(text, `is not understood: ${error.message}`);
    throw error;
  }
}

function expandRange(text: string, item: string): string[] {
  const match = /^(-?\d{1,15})\.\.(-?\d{1,15})(?:\.\.(\d{1,15}))?$/.exec(item);
  if (!match) {
    const isRange = /^[-+]?[\d.e]*\d\.\.[-+]?[\d.]/.test(item);
    if (isRange) throw mistake(text, `has a range that is not of whole numbers: ${item}`);
    return [item];
  }
  const [first, last, step] = [Number(match[1]), Number(match[2]), Number(match[3] ?? 1)];
  const count = Math.floor(Math.abs(last - first) / step) + 1;
  if (step === 0) throw mistake(text, `has a range in steps of 0: ${item}`);
  if (count > longestRange) throw mistake(text, `has a range of ${count} values: ${item}`);
  const sign = last < first ? -1 : 1;
  return Array.from({ length: count }, (_, index) => String(first + sign * index * step));
}

function mistake(text: string, what: string): HpcrunError {
  return new HpcrunError('USAGE', `--sweep ${JSON.stringify(text)} ${what}`, { hint: sweepHint });
}
