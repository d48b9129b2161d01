import ejs from 'ejs';
import { messageOf } from '../errors.js';

/** What is wrong with a line of a template; lines count from 1. */
export interface TemplateFault {
  line: number;
  problem: string;
}

/** Values that cannot end a word of the shell: hpcrun's own texts, numbers, and names it has checked. */
const harmless = new Set([
  ...[
    'directive',
    'findContainer',
    'containerMissing',
    'gpuOption',
    'hpcrunVersion',
    'runId',
    'index',
    'processesPerNode',
  ],
  ...['resume.beforeSeconds', 'resume.maxRestarts', 'resume.signal', '128 + resume.signalNumber'],
  "computeInternet ? 'true' : 'false'",
]);

/**
 * Looks for what makes a batch script wrong without an error: line ends of Windows, `#SBATCH` lines that SLURM passes over (sbatch man
 * page: none after the first command, and no variables in them), and values that are not quoted, or are quoted twice.
 */
export function lintTemplate(text: string): TemplateFault[] {
  const lines = text.split('\n');
  const faults: TemplateFault[] = [];
  const crlf = lines.findIndex((line) => line.endsWith('\r'));
  if (crlf !== -1) faults.push({ line: crlf + 1, problem: 'ends with CR LF, which sbatch refuses; lines end with LF' });
  let hasCommand = false;
  for (const [index, full] of lines.entries()) {
    const line = full.replace(/\r$/, '');
    faults.push(
      ...[...lintDirective(line, hasCommand), ...lintValues(line)].map((problem) => ({ line: index + 1, problem })),
    );
    if (!/^\s*(?:#.*|<%[^=-].*%>|<%-\s*include\(.*%>)?$/.test(line)) hasCommand = true;
  }
  return [...faults, ...lintSyntax(text)];
}

function lintDirective(line: string, hasCommand: boolean): string[] {
  if (!/^\s*#SBATCH\b/.test(line)) return [];
  if (hasCommand) return ['#SBATCH stands behind the first command, where SLURM passes over it'];
  if (/^\s/.test(line)) return ['#SBATCH does not stand at the beginning of its line, so that SLURM passes over it'];
  if (/\$[\w{(]/.test(line)) return ['#SBATCH has a variable, which SLURM does not look up'];
  return [];
}

function lintValues(line: string): string[] {
  return [...line.matchAll(/<%([=-])(.*?)[-_]?%>/g)].flatMap((match) => {
    const [, sign, inner = ''] = match;
    const expression = inner.trim();
    const isQuoted = sign === '=' || /^quoteAll\([\w.]+\)$/.test(expression);
    if (sign === '-' && !isQuoted && !harmless.has(expression) && !/^include\('[^']*'\)$/.test(expression)) {
      return [`<%- ${expression} %> writes a value as it is; <%= ${expression} %> quotes it`];
    }
    const quote = isQuoted ? openQuote(line.slice(0, match.index)) : undefined;
    return quote === undefined ? [] : [`${expression} is quoted by hpcrun and must not stand within ${quote}`];
  });
}

/** The quote of the shell that is open at the end of a piece of a line. */
function openQuote(text: string): string | undefined {
  let open: string | undefined;
  // What ejs fills in or runs is not the shell's.
  const shell = text.replaceAll(/<%.*?%>/g, '');
  for (let index = 0; index < shell.length; index += 1) {
    const character = shell[index];
    if (character === '\\' && open !== "'") index += 1;
    else if (open === undefined && (character === "'" || character === '"')) open = character;
    else if (character === open) open = undefined;
    else if (open === undefined && character === '#' && /^$|\s$/.test(shell.slice(0, index))) return undefined;
  }
  return open;
}

function lintSyntax(text: string): TemplateFault[] {
  try {
    ejs.compile(text, { strict: false });
    return [];
  } catch (error) {
    return [{ line: 1, problem: `is not valid for ejs: ${messageOf(error).split('\n')[0] ?? ''}` }];
  }
}
