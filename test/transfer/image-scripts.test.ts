import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pack as createPack } from 'tar-stream';
import { expect, it } from 'vitest';
import { busyStatus, renderBegin } from '../../src/transfer/image-scripts.js';
import { ShellConnection } from '../support/shell-connection.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

it('lets one of two begin that come at once', async () => {
  const connection = new ShellConnection();
  const { signal } = new AbortController();
  const begin = async (directory: string, owner: string) => {
    const image = {
      sha256: 'a'.repeat(64),
      sizeBytes: 1,
      path: join(directory, 'image.sif'),
      mode: '0440',
      // Whoever looks at a lock takes so long to decide that the other one acts meanwhile.
      makeStore: 'find() { command find "$@"; sleep 0.2; }',
    };
    const pack = createPack();
    for (const name of ['plan', 'about.json', 'lock', 'complete']) pack.entry({ name }, `${owner}\n`);
    pack.finalize();
    const stdin = Readable.from(pack as AsyncIterable<Buffer>, { objectMode: false });
    return (await connection.run(renderBegin(image, undefined), { stdin, signal })).exitCode;
  };
  for (let round = 0; round < 5; round += 1) {
    const directory = join(await makeTemporaryDirectory(), 'images');
    await mkdir(directory);
    const statuses = await Promise.all([begin(directory, 'one'), begin(directory, 'other')]);
    expect(statuses.sort((a, b) => a - b)).toEqual([0, busyStatus]);
  }
});
