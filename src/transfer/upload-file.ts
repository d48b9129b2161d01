import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { posix } from 'node:path';
import { Transform } from 'node:stream';
import { HpcrunError } from '../errors.js';
import type { Connection } from '../ssh/connection.js';
import { quote } from '../ssh/quote.js';
import { printable } from '../ssh/terminal-text.js';
import { diskFullStatus, remoteFailure, scriptPrelude } from '../ssh/remote-script.js';

const damagedStatus = 91;
const bufferBytes = 1 << 20;

export interface Upload {
  localPath: string;
  sizeBytes: number;
  /** Hex digest the file must have when it has arrived. */
  sha256: string;
  remotePath: string;
  /** Octal, such as `0440`. */
  mode: string;
}

/**
 * Copies a file to the far side: into a temporary name beside `remotePath`, hashed and compared there, then renamed, all
 * by one script that reads one channel. Needs cat, df and sha256sum there, no SFTP. A broken connection leaves nothing
 * behind, because the script itself removes what does not have the right hash. Throws REMOTE_DISK_FULL, TRANSFER_FAILED
 * and what a connection throws.
 */
export async function uploadFile(
  connection: Connection,
  upload: Upload,
  options: { signal: AbortSignal; onProgress: (sentBytes: number) => void },
): Promise<void> {
  let sentBytes = 0;
  const counter = new Transform({
    readableHighWaterMark: bufferBytes,
    writableHighWaterMark: bufferBytes,
    transform(chunk: Buffer, _encoding, done) {
      sentBytes += chunk.length;
      options.onProgress(sentBytes);
      done(null, chunk);
    },
  });
  const source = createReadStream(upload.localPath, { highWaterMark: bufferBytes });
  source.once('error', (error) => counter.destroy(error));
  try {
    const result = await connection.stream(renderReceiver(upload), {
      stdin: source.pipe(counter),
      signal: options.signal,
      onStdout: () => undefined,
    });
    if (result.exitCode === damagedStatus) {
      throw new HpcrunError(
        'TRANSFER_FAILED',
        `${upload.localPath} arrived damaged: ${printable(result.stderr.trim())}`,
        {
          hint: 'Run the command again. If it happens twice, the disk of one of the two sides is failing.',
        },
      );
    }
    if (result.exitCode !== 0) throw remoteFailure(connection, `copying ${posix.basename(upload.remotePath)}`, result);
  } finally {
    source.destroy();
  }
}

function renderReceiver({ sizeBytes, sha256, remotePath, mode }: Upload): string {
  const directory = posix.dirname(remotePath);
  const temporary = posix.join(directory, `.${posix.basename(remotePath)}.${randomBytes(6).toString('hex')}.part`);
  return `${scriptPrelude}directory=${quote(directory)}
temporary=${quote(temporary)}
target=${quote(remotePath)}
try_disk mkdir -p "$directory"
free=$(df -Pk "$directory" | awk 'NR == 2 { print $4 }')
if [ "\${free:-0}" -lt ${Math.ceil(sizeBytes / 1024)} ]; then
  echo "No space left: ${Math.ceil(sizeBytes / 1024)} KiB are needed in $directory, $free KiB are free" >&2
  exit ${diskFullStatus}
fi
# A file that is there is in use: it is never replaced by another copy of itself.
is_there() { [ "$(stat -Lc %s "$target" 2>/dev/null)" = ${sizeBytes} ]; }
if is_there; then exit 0; fi
find "$directory" -maxdepth 1 -name '.*.part' -mmin +1440 -exec rm -f {} +
trap 'rm -f "$temporary"' EXIT
trap 'exit 1' HUP INT TERM
try_disk sh -c 'cat >"$1"' sh "$temporary"
sum=$(sha256sum "$temporary") || exit 1
sum=\${sum%% *}
if [ "\${sum#\\\\}" != ${sha256} ]; then
  echo "its sha256 should be ${sha256} and is $sum" >&2
  exit ${damagedStatus}
fi
if is_there; then exit 0; fi
chmod ${mode} "$temporary" && mv "$temporary" "$target"
`;
}
