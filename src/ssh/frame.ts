import { quote } from './quote.js';

// Linux limits one argument to 128 KiB (MAX_ARG_STRLEN); base64 adds a third.
const maximumScriptBytes = 90_000;

/**
 * The command line that runs `script` under /bin/sh whatever the login shell is. Only characters that mean the same in
 * sh, bash, zsh, tcsh and fish are used; the script itself travels as base64. `marker` is printed first on both outputs, so that
 * whatever the shell's start-up files printed before it can be told from the script's own output.
 */
export function renderFramedCommand(script: string, marker: string): string {
  const framed = Buffer.from(`printf '%s\\n' ${quote(marker)}; printf '%s\\n' ${quote(marker)} >&2\n${script}`, 'utf8');
  if (framed.length > maximumScriptBytes) throw new RangeError(`remote script of ${framed.length} bytes is too long`);
  return `exec /bin/sh -c 'eval "$(printf %s ${framed.toString('base64')} | base64 -d)"'`;
}

/** Removes everything up to and including the marker's line from a stream of chunks. */
export class FrameReader {
  private readonly marker: Buffer;
  private head: Buffer = Buffer.alloc(0);
  private open = false;

  constructor(marker: string) {
    this.marker = Buffer.from(`${marker}\n`, 'utf8');
  }

  /** Whether the marker has been seen, that is, whether the script has started. */
  get isOpen(): boolean {
    return this.open;
  }

  /** What came before the marker; all that came if there was none. At most the last 64 KiB. */
  get noise(): string {
    return this.head.toString('utf8');
  }

  /** The part of the script's own output in this chunk; may be empty. */
  push(chunk: Buffer): Buffer {
    if (this.open) return chunk;
    const joined = Buffer.concat([this.head, chunk]);
    const at = joined.indexOf(this.marker);
    if (at === -1) {
      this.head = joined.subarray(Math.max(0, joined.length - 65_536));
      return Buffer.alloc(0);
    }
    this.open = true;
    this.head = joined.subarray(0, at);
    return joined.subarray(at + this.marker.length);
  }
}
