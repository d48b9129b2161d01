// C0 and C1 control characters and the bidirectional overrides: what can move a cursor, colour text or reorder it.
// eslint-disable-next-line no-control-regex -- control characters are the subject here
const unprintable = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/**
 * Text from the far side, made harmless for a terminal: control characters are shown as `\x1b`, newlines and tabs stay.
 */
export function printable(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(unprintable, (character) => {
    const code = character.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}
