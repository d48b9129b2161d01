import { readFile } from 'node:fs/promises';
import { isNode, LineCounter, parseDocument, visit, type Document } from 'yaml';
import { z } from 'zod';
import { HpcrunError, isSystemError } from '../errors.js';
import { closest } from '../suggest.js';

/** A problem in a YAML file, with where it is. */
interface Problem {
  line: number;
  text: string;
}

/**
 * Reads and validates a YAML file. All problems are reported in one CONFIG_INVALID error, each with file, line and
 * key. A missing file gives undefined; an empty one is `{}`.
 */
export async function loadYamlFile<T extends z.ZodType>(path: string, schema: T): Promise<z.output<T> | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw new HpcrunError('CONFIG_INVALID', `cannot read ${path}`, { cause: error, hint: 'Check its permissions.' });
  }
  return parseYaml(text, path, schema);
}

/** Parses and validates YAML text; `path` is only used in messages. */
export function parseYaml<T extends z.ZodType>(text: string, path: string, schema: T): z.output<T> {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const syntax = document.errors.map((error) => ({
    line: lineCounter.linePos(error.pos[0]).line,
    text: error.message,
  }));
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document)) return;
      const line = lineCounter.linePos(alias.range?.[0] ?? 0).line;
      syntax.push({
        line,
        text: `"*${alias.source}" is a reference in YAML, to nothing; text that begins with * needs quotes`,
      });
    },
  });
  if (syntax.length > 0) throw invalid(path, syntax);

  const result = schema.safeParse(document.toJS() ?? {});
  if (result.success) return result.data;
  throw invalid(
    path,
    result.error.issues.flatMap((issue) => describeIssue(issue, document, lineCounter, schema)),
  );
}

function invalid(path: string, problems: Problem[]): HpcrunError {
  const lines = [...problems].sort((a, b) => a.line - b.line).map(({ line, text }) => `${path}:${line}: ${text}`);
  const hint = 'docs/configuration.md lists every key.';
  return new HpcrunError('CONFIG_INVALID', lines.join('\n'), { hint });
}

function describeIssue(
  issue: z.core.$ZodIssue,
  document: Document,
  lineCounter: LineCounter,
  schema: z.ZodType,
): Problem[] {
  const path = issue.path.filter((part) => typeof part !== 'symbol');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      line: lineOf(document, lineCounter, [...path, key]),
      text: `${[...path, key].join('.')}: unknown key${suggestion(key, keysAt(schema, path))}`,
    }));
  }
  const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  return [{ line: lineOf(document, lineCounter, path), text: `${path.join('.') || 'file'}: ${message}` }];
}

/** The line of the deepest part of `path` that exists in the file; the key's own line where it has one. */
function lineOf(document: Document, lineCounter: LineCounter, path: (string | number)[]): number {
  let line = 1;
  for (let depth = 1; depth <= path.length; depth += 1) {
    const node = document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range) line = lineCounter.linePos(node.range[0]).line;
    const parent: unknown = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    if (typeof parent !== 'object' || parent === null || !('items' in parent) || !Array.isArray(parent.items)) continue;
    for (const item of parent.items as { key?: { value?: unknown; range?: [number, number, number] } }[]) {
      if (item.key?.value === path[depth - 1] && item.key?.range) line = lineCounter.linePos(item.key.range[0]).line;
    }
  }
  return line;
}

/** The keys the schema allows at `path`, found in its JSON Schema. */
function keysAt(schema: z.ZodType, path: (string | number)[]): string[] {
  let node: z.core.JSONSchema._JSONSchema | undefined = z.toJSONSchema(schema, { io: 'input' });
  for (const part of path) {
    if (typeof node !== 'object') return [];
    node =
      node.properties?.[part] ??
      (typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined);
  }
  return typeof node === 'object' ? Object.keys(node.properties ?? {}) : [];
}

function suggestion(key: string, known: string[]): string {
  const close = closest(key, known);
  if (close !== undefined) return `; did you mean "${close}"?`;
  return known.length > 0 ? `; allowed are ${known.join(', ')}` : '';
}
