import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { findSameNames, tellsCase } from '../../src/transfer/same-name.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

describe('findSameNames', () => {
  it('finds what differs only in case, also of a directory, or in how a letter is composed', () => {
    const paths = ['a/Model.pt', 'A/model.PT', 'a/other', 'caf\u00e9', 'cafe\u0301', 'a/Model.pt2'];
    expect([...findSameNames(paths)]).toEqual([
      ['A/model.PT', 'a/Model.pt'],
      ['cafe\u0301', 'caf\u00e9'],
    ]);
  });
});

describe('tellsCase', () => {
  it('leaves nothing behind', async () => {
    const directory = await makeTemporaryDirectory();
    expect(typeof tellsCase(directory, '.hpcrun-0123.part')).toBe('boolean');
    expect(readdirSync(directory)).toEqual([]);
  });
});
