import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseListing } from '../../src/run/result-listing.js';

const listing = (...fields: string[]) => Buffer.from(fields.map((field) => `${field}\0`).join(''), 'utf8');

describe('parseListing', () => {
  it('takes what is new in name or was changed since, and leaves the rest of the project', () => {
    const { files, isComplete } = parseListing(
      listing(
        ...['ptrain.py', 'pdata/in.csv', 'plink'],
        'of 644 10 1700000000.0000000000 train.py',
        '',
        'nf 644 11 1700000001.5000000000 data/in.csv',
        '',
        'of 644 12 1600000000.0000000000 out/with an old time.txt',
        '',
        'nf 644 0 1700000002.2500000000 out/empty\nname',
        '',
        'ol 644 4 1700000000.0000000000 link',
        'train.py',
        'nl 644 5 1700000003.0000000000 latest',
        '/workspace/out/x',
        'end',
      ),
      '/workspace',
    );
    expect(isComplete).toBe(true);
    expect(files).toMatchObject([
      { path: 'data/in.csv', type: 'file', sizeBytes: 11, mtime: 1_700_000_001.5, linkTarget: '' },
      { path: 'out/with an old time.txt', type: 'file', sizeBytes: 12, mtime: 1_600_000_000, linkTarget: '' },
      { path: 'out/empty\nname', type: 'file', sizeBytes: 0, mtime: 1_700_000_002.25, linkTarget: '' },
      { path: 'latest', type: 'symlink', sizeBytes: 5, mtime: 1_700_000_003, linkTarget: 'out/x' },
    ]);
  });

  it.each([
    ['nothing', listing()],
    ['a listing that broke off', listing('nf 644 1 1.0 a', '')],
    ['a listing whose last field broke off', Buffer.from('nf 644 1 1.0 a\0\0end')],
    ['a link to end', listing('ol 644 1 1.0 link', 'end')],
    ['a file called end', listing('nf 644 1 1.0 end', '')],
  ])('knows that %s is not complete', (_, output) => {
    expect(parseListing(output, '/workspace').isComplete).toBe(false);
  });

  it('reads times before 1970 and passes over what is neither file nor link', () => {
    const { files } = parseListing(
      listing(
        'nf 644 1 -3.5000000000 old',
        '',
        'nd 644 1 1.0 directory',
        '',
        'np 644 1 1.0 fifo',
        '',
        'nf 644 1 1.0 ',
        '',
        'end',
      ),
      '/workspace',
    );
    expect(files).toMatchObject([{ path: 'old', type: 'file', sizeBytes: 1, mtime: -3.5, linkTarget: '' }]);
  });

  it('keeps any name', () => {
    const name = fc.string({ unit: 'binary', minLength: 1 }).filter((text) => !text.includes('\0'));
    fc.assert(
      fc.property(fc.uniqueArray(name), fc.uniqueArray(name), (created, project) => {
        const fields = [
          ...project.map((path) => `p${path}`),
          ...project.map((path) => `of 644 1 1.0000000000 ${path}\0`),
          ...created.map((path) => `nf 644 1 1.0000000000 ${path}\0`),
          'end',
        ];
        expect(parseListing(listing(...fields), '/workspace').files.map(({ path }) => path)).toEqual(created);
      }),
    );
  });

  it('puts the files of array tasks below their index, and knows which can still be written to', () => {
    const listed = parseListing(
      listing(
        ...['c1700000100', 'ptrain.py', 'T3', 'nf 755 1 1.0 out/x', '', 'nl 777 1 1.0 latest', '/workspace/out/x'],
        ...['t12', 'nf 644 1 1.0 out/x', '', 'of 644 1 1.0 train.py', '', 'nl 777 1 1.0 other', '../3/out/x', 'end'],
      ),
      '/workspace',
    );
    expect(listed).toMatchObject({ hasEnded: false, listedAt: 1_700_000_100, isComplete: true });
    expect(listed.files).toMatchObject([
      { path: '3/out/x', source: 'tasks/3/work/out/x', isFinal: true, isExecutable: true },
      { path: '3/latest', linkTarget: 'out/x', isExecutable: false },
      { path: '12/out/x', source: 'tasks/12/work/out/x', isFinal: false, isExecutable: false },
      // What leads out of a task's own directory leads out.
      { path: '12/other', linkTarget: '/../3/out/x' },
    ]);
  });

  it('takes every file of a run that has ended for final', () => {
    const { files, hasEnded } = parseListing(listing('e', 'nf 644 1 1.0 a', '', 'end'), '/workspace');
    expect(hasEnded).toBe(true);
    expect(files).toMatchObject([{ isFinal: true }]);
  });
});
