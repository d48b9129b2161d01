import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { SlowLink, type SlowLinkOptions } from '../test/support/slow-link.js';

/** Runs `work` with a slow link in a process of its own, which shares no event loop with whoever measures. */
export async function withSlowLink<T>(options: SlowLinkOptions, work: (port: number) => Promise<T>): Promise<T> {
  const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(options)]);
  try {
    const [port] = (await once(child, 'message')) as [number];
    return await work(port);
  } finally {
    child.kill();
  }
}

// Started by `withSlowLink`.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const link = await SlowLink.open(JSON.parse(process.argv[2] ?? '') as SlowLinkOptions);
  process.send?.(link.port);
  process.once('disconnect', () => process.exit());
}
