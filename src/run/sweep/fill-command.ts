import { HpcrunError } from '../../errors.js';
import type { Sweep } from './sweep.js';

// `{{name}}` stands for a literal `{name}`.
const placeholder = /\{\{([A-Za-z_][\w.-]*)\}\}|\{([A-Za-z_][\w.-]*)\}/g;

/** Throws USAGE for a placeholder that no parameter fills. `words` are the user's own. */
export function requirePlaceholders({ parameters }: Pick<Sweep, 'parameters'>, words: string[]): void {
  for (const name of words.flatMap(namesIn)) {
    if (parameters.includes(name)) continue;
    throw new HpcrunError('USAGE', `there is no parameter ${name} for {${name}}; there are ${parameters.join(', ')}`, {
      hint: `--sweep ${name}=…, or {{${name}}} where the braces are to stay.`,
    });
  }
}

function namesIn(word: string): string[] {
  return [...word.matchAll(placeholder)].flatMap((match) => match[2] ?? []);
}

/**
 * A task's own command: its values in the place of `{name}`; those that no placeholder names follow at the end, as
 * `--name value`, or `--name=value` where the value begins with a dash and is no number.
 */
export function fillCommand(command: string[], parameters: string[], values: string[]): string[] {
  const byName = new Map(parameters.map((name, index) => [name, values[index] ?? '']));
  const named = new Set(command.flatMap(namesIn));
  const filled = command.map((word) =>
    word.replaceAll(placeholder, (text, literal: string | undefined, name: string | undefined) =>
      literal === undefined ? (byName.get(name ?? '') ?? text) : `{${literal}}`,
    ),
  );
  const appended = [...byName].flatMap(([name, value]) => {
    if (named.has(name)) return [];
    return /^-(?!\.?\d)/.test(value) ? [`--${name}=${value}`] : [`--${name}`, value];
  });
  return [...filled, ...appended];
}
