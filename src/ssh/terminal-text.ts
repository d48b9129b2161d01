// C0 and C1 control characters, the bidirectional overrides and Unicode's own line ends: what can move a cursor, colour text or reorder it.
// eslint-disable-next-line no-control-regex -- control characters are the subject here
const unprintable = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * Text from the far side, made harmless for a terminal: control characters are shown as `\x1b`, newlines and tabs stay.
 */
export function printable(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(unprintable, (character) => {
    const code = character.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

const usualColumns = 80;

/** As `printable`, on one line. */
export function printableLine(text: string): string {
  return printable(text.trim()).replace(/\s*\n\s*/g, ' / ');
}

/**
 * What a server says, so that nobody takes it for words of hpcrun's: harmless, and with the speaker's name before every line a terminal
 * shows, also where it would have broken a long one itself. Characters beyond ASCII may be two columns wide and count as such.
 * @param columns the width of the terminal; 0, as some pseudo-terminals have it, is not known
 */
export function attributed(text: string, speaker: string, columns = 0): string {
  const prefix = `(${printableLine(speaker)}) `;
  const room = Math.max((columns > 0 ? columns : usualColumns) - widthOf(prefix), 2);
  const lines = printable(text)
    .replaceAll('\t', '    ')
    .split('\n')
    .flatMap((line) => fold(line, room));
  return lines.map((line) => prefix + line).join('\n');
}

function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += character < '\u0080' ? 1 : 2;
  return width;
}

function fold(line: string, room: number): string[] {
  const parts: string[] = [];
  let part = '';
  let width = 0;
  for (const character of line) {
    const more = widthOf(character);
    if (width + more > room) {
      parts.push(part);
      part = '';
      width = 0;
    }
    part += character;
    width += more;
  }
  return [...parts, part];
}
