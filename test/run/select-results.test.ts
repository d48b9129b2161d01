import { describe, expect, it } from 'vitest';
import type { ResultFile } from '../../src/run/result-listing.js';
import { selectResults, type ResultFilter } from '../../src/run/select-results.js';

const file = (path: string, changes: Partial<ResultFile> = {}): ResultFile => ({
  path,
  source: `work/${path}`,
  type: 'file',
  sizeBytes: 100,
  mtime: 1000,
  isExecutable: false,
  linkTarget: '',
  isFinal: true,
  ...changes,
});
const everything: ResultFilter = { include: [], exclude: [], maximumBytes: undefined };
const select = (paths: string[], filter: Partial<ResultFilter>) =>
  selectResults(
    { files: paths.map((path) => file(path)), listedAt: 2000 },
    { ...everything, ...filter },
    false,
  ).files.map(({ path }) => path);

describe('selectResults', () => {
  const paths = ['out/a.pt', 'out/a.log', 'deep/out/b.log', 'c.ckpt'];

  it.each<[string, Partial<ResultFilter>, string[]]>([
    ['everything without patterns', {}, paths],
    ['what an include matches', { include: ['*.log'] }, ['out/a.log', 'deep/out/b.log']],
    ['all below a directory', { include: ['/out/'] }, ['out/a.pt', 'out/a.log']],
    ['what any of several includes matches', { include: ['*.pt', '*.ckpt'] }, ['out/a.pt', 'c.ckpt']],
    ['what no exclude matches', { exclude: ['*.log'] }, ['out/a.pt', 'c.ckpt']],
    ['no more than both leave', { include: ['out/'], exclude: ['*.log'] }, ['out/a.pt']],
    ['what a later exclude takes back', { exclude: ['*.log', '!a.log'] }, ['out/a.pt', 'out/a.log', 'c.ckpt']],
  ])('takes %s', (_, filter, expected) => {
    expect(select(paths, filter)).toEqual(expected);
  });

  it('leaves larger files and names them', () => {
    const files = [file('small'), file('large', { sizeBytes: 101 })];
    const selected = selectResults({ files, listedAt: 2000 }, { ...everything, maximumBytes: 100 }, false);
    expect(selected.files.map(({ path }) => path)).toEqual(['small']);
    expect(selected.tooLarge.map(({ path }) => path)).toEqual(['large']);
  });

  it('leaves what was written to a moment ago, unless its run has ended or it is wanted as it is', () => {
    const files = [
      file('quiet', { isFinal: false, mtime: 1990 }),
      file('young', { isFinal: false, mtime: 1991 }),
      file('from the future', { isFinal: false, mtime: 9000 }),
      file('young, of a run that ended', { mtime: 1999 }),
      file('link', { isFinal: false, mtime: 1999, type: 'symlink' }),
    ];
    const { files: taken, beingWritten } = selectResults({ files, listedAt: 2000 }, everything, false);
    expect(taken.map(({ path }) => path)).toEqual(['quiet', 'young, of a run that ended', 'link']);
    expect(beingWritten).toEqual(['young', 'from the future']);
    expect(selectResults({ files, listedAt: 2000 }, everything, true).files).toEqual(files);
  });

  it('hides no name that cannot be a path here', () => {
    expect(select(['../up', '/absolute'], { include: ['*.pt'] })).toEqual(['../up', '/absolute']);
  });
});
