import { quote, quoteAll } from '../../ssh/quote.js';
import type { RunRecord } from '../record.js';
import { fillCommand } from './fill-command.js';
import { parameterVariable, type Sweep } from './sweep.js';

/** What a sweep's job script reads: the argument vector of `$task`, and its parameters as variables of the container. For bash. */
export function renderTaskFile({ command }: Pick<RunRecord, 'command'>, { parameters, tasks }: Sweep): string {
  const cases = tasks.map((values, index) => {
    const variables = parameters.map(
      (name, column) => `  export APPTAINERENV_${parameterVariable(name)}=${quote(values[column] ?? '')}\n`,
    );
    return `${index})\n  arguments=(${quoteAll(fillCommand(command, parameters, values))})\n${variables.join('')}  ;;\n`;
  });
  return `case $task in\n${cases.join('')}esac\n`;
}

/** The tasks' parameters, an object a line. */
export function renderParameterLines({ parameters, tasks }: Sweep): string {
  return tasks
    .map((values, task) => {
      const named = Object.fromEntries(parameters.map((name, column) => [name, values[column]]));
      return `${JSON.stringify({ task, parameters: named })}\n`;
    })
    .join('');
}

/** The same as CSV, the number of the task first. */
export function renderParameterTable({ parameters, tasks }: Sweep): string {
  const cell = (text: string) => (/[",\r\n]|^\s|\s$|^$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = [['task', ...parameters], ...tasks.map((values, index) => [String(index), ...values])];
  return lines.map((fields) => `${fields.map(cell).join(',')}\n`).join('');
}
