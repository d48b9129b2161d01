import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HpcrunError } from '../errors.js';

// sockaddr_un: 104 bytes on macOS and BSD, 108 on Linux, with a NUL at the end.
const socketPathLimit = 103;
// OpenSSH makes its socket under another name first, with a dot and sixteen characters more.
const longestName = 'master'.length + 17;

/** A new directory of mode 0700 with room for a socket's name: in the place for temporary files, or in /tmp. Throws CONNECTION_FAILED. */
export async function makePrivateDirectory(): Promise<string> {
  let cause: unknown;
  for (const parent of new Set([tmpdir(), '/tmp'])) {
    const prefix = join(parent, 'hpcrun-');
    if (Buffer.byteLength(prefix) + 'XXXXXX/'.length + longestName > socketPathLimit) continue;
    try {
      return await mkdtemp(prefix);
    } catch (error) {
      cause = error;
    }
  }
  throw new HpcrunError('CONNECTION_FAILED', 'there is no place for the socket of the connection', {
    hint: `Set TMPDIR to a directory with a short name that you can write to.`,
    cause,
  });
}
