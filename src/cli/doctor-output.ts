import { countVerdicts, sections, type Finding, type Section } from '../run/doctor/finding.js';
import { printable } from '../ssh/terminal-text.js';

const signs: Record<Finding['verdict'], { sign: string; colour: number }> = {
  ok: { sign: '✓', colour: 32 },
  note: { sign: '•', colour: 36 },
  warning: { sign: '!', colour: 33 },
  problem: { sign: '✗', colour: 31 },
  skipped: { sign: '–', colour: 2 },
};

function paint(text: string, style: number, hasColour: boolean): string {
  return hasColour ? `\u001b[${style}m${text}\u001b[0m` : text;
}

export function renderHeading(section: Section, isFirst: boolean, hasColour: boolean): string {
  return `${isFirst ? '' : '\n'}${paint(sections[section], 1, hasColour)}\n`;
}

/** A finding with its details and its remedy, a line each. Much of it comes from the cluster, which must not reach the terminal. */
export function renderFinding(finding: Finding, hasColour: boolean): string {
  const { sign, colour } = signs[finding.verdict];
  const remedy = 'remedy' in finding ? finding.remedy : undefined;
  const indented = (text: string, indent: string) => printable(text).trimEnd().replaceAll('\n', `\n${indent}`);
  return [
    `  ${paint(sign, colour, hasColour)} ${indented(finding.message, '    ')}`,
    ...(finding.details ?? []).map((detail) => `      ${paint(indented(detail, '      '), 2, hasColour)}`),
    ...(remedy === undefined ? [] : [`    → ${indented(remedy, '      ')}`]),
    '',
  ].join('\n');
}

/** The last line: what has to be done, or what can be done now. */
export function renderSummary(findings: Finding[], hasColour: boolean): string {
  const { problems, warnings } = countVerdicts(findings);
  const several = (count: number, word: string) => `${count} ${word}${count === 1 ? '' : 's'}`;
  const also = warnings === 0 ? '' : `, and ${several(warnings, 'warning')}`;
  if (problems > 0)
    return `\n${paint(`${several(problems, 'problem')}${also}.`, 31, hasColour)} ${problems === 1 ? 'Mend it as the arrow says.' : 'Mend them from top to bottom, as the arrows say.'}\n`;
  if (warnings > 0) return `\n${paint(`Nothing is broken; ${several(warnings, 'warning')}.`, 33, hasColour)}\n`;
  return `\n${paint('Everything is fine.', 32, hasColour)} Next: hpcrun submit SCRIPT\n`;
}
