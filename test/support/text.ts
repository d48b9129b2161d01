import fc from 'fast-check';

/** Any text that can be a word of a command line: all of Unicode but NUL, which no argument can hold. */
export const anyWord = fc.string({ unit: 'binary', maxLength: 40 }).map((text) => text.replaceAll('\0', ''));

/** Words made of what shells give a meaning to. */
export const shellWord = fc.string({
  unit: fc.constantFrom(...Array.from('\'"\\$`!#&|;<>(){}[]*?~=%^,: \t\n\r-a'), '$(', '${', "'\\''", 'é', '\u{1f600}'),
  maxLength: 20,
});
