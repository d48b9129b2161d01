/**
 * One word for a POSIX shell: single-quoted, whatever it holds (POSIX Shell Command Language, 2.2.2). The only way by
 * which values enter a script. A NUL byte cannot be in an argument at all and is refused.
 */
export function quote(word: string): string {
  if (word.includes('\0')) throw new RangeError('a shell word cannot hold a NUL byte');
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Several words, each quoted. */
export function quoteAll(words: readonly string[]): string {
  return words.map(quote).join(' ');
}
