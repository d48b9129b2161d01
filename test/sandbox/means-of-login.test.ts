import { readFile } from 'node:fs/promises';
import ssh2 from 'ssh2';
import { expect, it } from 'vitest';
import { loginFiles, makeMeansOfLogin } from '../../src/sandbox/means-of-login.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

it('makes keys that can be used, each time', async () => {
  const directory = await makeTemporaryDirectory();
  // Of so many, ssh2 alone would make about four that cannot.
  for (let count = 0; count < 1000; count += 1) {
    const { publicKey } = await makeMeansOfLogin(directory);
    const key = ssh2.utils.parseKey(await readFile(loginFiles(directory).key));
    if (key instanceof Error) throw key;
    expect(Buffer.from(publicKey.split(' ')[1] ?? '', 'base64')).toHaveLength(51);
  }
});
