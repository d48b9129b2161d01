import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageDirectory } from '../../src/package-directory.js';
import { parseQuirks, quirkNames } from '../../src/sandbox/quirks.js';

const read = (...path: string[]) => readFile(join(packageDirectory(), ...path), 'utf8');

describe('parseQuirks', () => {
  it("puts quirks into the table's order, each once", () => {
    expect(parseQuirks(['singularity', 'tcsh', 'singularity'])).toEqual(['tcsh', 'singularity']);
    expect(parseQuirks([])).toEqual([]);
  });

  it('refuses unknown ones, and names what was probably meant', () => {
    expect(() => parseQuirks(['tchs'])).toThrow('there is no quirk "tchs"; did you mean "tcsh"?');
    expect(() => parseQuirks(['toString'])).toThrow('there is no quirk "toString"');
  });

  it('refuses two that cannot be together', () => {
    expect(() => parseQuirks(['zsh', 'tcsh'])).toThrow(
      'tcsh and zsh exclude each other: a cluster has one login shell',
    );
    expect(() => parseQuirks(['key-totp', 'password-totp'])).toThrow('one second factor');
  });
});

describe('the quirks of the table', () => {
  it.each(quirkNames)('%s is known to the nodes and described', async (name) => {
    expect(await read('sandbox', 'quirk.sh')).toContain(`[${name}]=`);
    expect(await read('docs', 'sandbox.md')).toContain(`\`${name}\``);
  });
});
