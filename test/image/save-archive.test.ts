import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CliEngine } from '../../src/image/cli-engine.js';
import { collect } from '../support/chunks.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const { signal } = new AbortController();

/** A client that prints what the engine would. */
async function installDocker(script: string): Promise<void> {
  const directory = await makeTemporaryDirectory();
  await writeFile(join(directory, 'docker'), `#!/bin/sh\n${script}\n`);
  await chmod(join(directory, 'docker'), 0o755);
  const path = process.env.PATH;
  process.env.PATH = `${directory}:${path ?? ''}`;
  onTestFinished(() => {
    process.env.PATH = path;
  });
}

describe('saveArchive', () => {
  it.for([20, 300_000])('gives every one of %d bytes to a reader that comes late', async (bytes) => {
    await installDocker(`head -c ${bytes} /dev/zero`);
    const archive = await new CliEngine('docker').saveArchive('sha256:1', { signal });
    await sleep(200);
    expect((await collect(archive.stream)).length).toBe(bytes);
    await archive.completed;
  });

  it("fails with the engine's own words, whatever came before", async () => {
    await installDocker('head -c 300000 /dev/zero; echo "the layer is gone" >&2; exit 1');
    const archive = await new CliEngine('docker').saveArchive('sha256:1', { signal });
    await collect(archive.stream);
    await expect(archive.completed).rejects.toThrow('the layer is gone');
  });

  it('can be given up unread', async () => {
    await installDocker('echo $$ >"${0%/*}/pid"; exec head -c 100000000 /dev/zero');
    const archive = await new CliEngine('docker').saveArchive('sha256:1', { signal });
    await sleep(200);
    await archive.dispose();
    await expect(archive.completed).rejects.toThrow();
  });
});
