import { describe, expect, it } from 'vitest';
import { defaultResultsDirectory, shortPath } from '../../src/run/pull-results.js';

describe('where results go', () => {
  it('is beside the project, or here if that is not known', () => {
    expect(defaultResultsDirectory('id', '/home/ada/digits', '/tmp')).toBe('/home/ada/digits/hpcrun-results/id');
    expect(defaultResultsDirectory('id', undefined, '/tmp')).toBe('/tmp/hpcrun-results/id');
  });

  it.each([
    ['/p/hpcrun-results/id', '/p', 'hpcrun-results/id'],
    ['/p', '/p', '.'],
    ['/p/out', '/p/src', '../out'],
    ['/elsewhere/out', '/p/src', '/elsewhere/out'],
  ])('%s from %s is shown as %s', (directory, cwd, expected) => {
    expect(shortPath(directory, cwd)).toBe(expected);
  });
});
