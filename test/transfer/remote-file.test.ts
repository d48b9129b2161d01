import { mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { selectNew, type RemoteFile } from '../../src/transfer/remote-file.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const mtime = 1_700_000_000.25;
const file = (path: string, changes: Partial<RemoteFile> = {}): RemoteFile => ({
  path,
  source: `work/${path}`,
  isExecutable: false,
  type: 'file',
  sizeBytes: 4,
  mtime,
  linkTarget: '',
  ...changes,
});

const makeDirectory = async () => {
  const directory = await makeTemporaryDirectory();
  await mkdir(join(directory, 'out'));
  await writeFile(join(directory, 'out/same'), 'text');
  await utimes(join(directory, 'out/same'), mtime, mtime);
  await symlink('same', join(directory, 'out/link'));
  return directory;
};

describe('selectNew', () => {
  it('leaves out what is here with the same size and time', async () => {
    const directory = await makeDirectory();
    const files = [
      file('out/same'),
      file('out/same', { mtime: mtime + 0.0009 }),
      file('out/link', { type: 'symlink', linkTarget: 'same' }),
    ];
    expect(selectNew(files, directory)).toEqual([]);
  });

  it.each<[string, RemoteFile]>([
    ['is not here', file('out/new')],
    ['has another size', file('out/same', { sizeBytes: 5 })],
    ['is newer', file('out/same', { mtime: mtime + 1 })],
    ['is older', file('out/same', { mtime: mtime - 1 })],
    ['is a link here', file('out/link')],
    ['is a link that led elsewhere', file('out/link', { type: 'symlink', linkTarget: 'other' })],
    ['is a file here and a link there', file('out/same', { type: 'symlink' })],
    ['is a directory here', file('out')],
    ['is below a file here', file('out/same/below')],
    ['cannot be here', file('../out/same')],
  ])('takes what %s', async (_, wanted) => {
    expect(selectNew([wanted], await makeDirectory())).toEqual([wanted]);
  });

  it('takes everything, in order, into a directory that is not there yet', async () => {
    const files = [file('b'), file('a/c')];
    expect(selectNew(files, join(await makeTemporaryDirectory(), 'missing'))).toEqual(files);
  });
});
