import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultResultsDirectory, parseListing, shortPath } from '../../src/run/pull-results.js';

const listing = (...fields: string[]) => Buffer.from(fields.map((field) => `${field}\0`).join(''), 'utf8');

describe('parseListing', () => {
  it('takes what is new in name or was changed since, and leaves the rest of the project', () => {
    const { files, isComplete } = parseListing(
      listing(
        ...['ptrain.py', 'pdata/in.csv', 'plink'],
        'of 10 1700000000.0000000000 train.py',
        '',
        'nf 11 1700000001.5000000000 data/in.csv',
        '',
        'of 12 1600000000.0000000000 out/with an old time.txt',
        '',
        'nf 0 1700000002.2500000000 out/empty\nname',
        '',
        'ol 4 1700000000.0000000000 link',
        'train.py',
        'nl 5 1700000003.0000000000 latest',
        '/workspace/out/x',
        'end',
      ),
      '/workspace',
    );
    expect(isComplete).toBe(true);
    expect(files).toEqual([
      { path: 'data/in.csv', type: 'file', sizeBytes: 11, mtime: 1_700_000_001.5, linkTarget: '' },
      { path: 'out/with an old time.txt', type: 'file', sizeBytes: 12, mtime: 1_600_000_000, linkTarget: '' },
      { path: 'out/empty\nname', type: 'file', sizeBytes: 0, mtime: 1_700_000_002.25, linkTarget: '' },
      { path: 'latest', type: 'symlink', sizeBytes: 5, mtime: 1_700_000_003, linkTarget: 'out/x' },
    ]);
  });

  it.each([
    ['nothing', listing()],
    ['a listing that broke off', listing('nf 1 1.0 a', '')],
    ['a listing whose last field broke off', Buffer.from('nf 1 1.0 a\0\0end')],
    ['a link to end', listing('ol 1 1.0 link', 'end')],
    ['a file called end', listing('nf 1 1.0 end', '')],
  ])('knows that %s is not complete', (_, output) => {
    expect(parseListing(output, '/workspace').isComplete).toBe(false);
  });

  it('reads times before 1970 and passes over what is neither file nor link', () => {
    const { files } = parseListing(
      listing('nf 1 -3.5000000000 old', '', 'nd 1 1.0 directory', '', 'np 1 1.0 fifo', '', 'nf 1 1.0 ', '', 'end'),
      '/workspace',
    );
    expect(files).toEqual([{ path: 'old', type: 'file', sizeBytes: 1, mtime: -3.5, linkTarget: '' }]);
  });

  it('keeps any name', () => {
    const name = fc.string({ unit: 'binary', minLength: 1 }).filter((text) => !text.includes('\0'));
    fc.assert(
      fc.property(fc.uniqueArray(name), fc.uniqueArray(name), (created, project) => {
        const fields = [
          ...project.map((path) => `p${path}`),
          ...project.map((path) => `of 1 1.0000000000 ${path}\0`),
          ...created.map((path) => `nf 1 1.0000000000 ${path}\0`),
          'end',
        ];
        expect(parseListing(listing(...fields), '/workspace').files.map(({ path }) => path)).toEqual(created);
      }),
    );
  });
});

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
