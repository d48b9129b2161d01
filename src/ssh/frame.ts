import type { TerminalSize } from './connection.js';

// Linux limits one argument to 128 KiB (MAX_ARG_STRLEN); base64 adds a third.
const maximumScriptBytes = 90_000;
const noiseLimitBytes = 65_536;

/**
 * First line of standard input while it is not known yet what the login shell is like. The frame takes it away; another shell
 * that a start-up file has put in the place of ours, and that reads commands from there, ends with `replacedStatus`.
 */
export const guardLine = 'exit 97\n';

/** Statuses of a frame that never opened; picked from the range sysexits.h leaves free. */
export const replacedStatus = 97;
export const inputTakenStatus = 98;
export const undecodableStatus = 96;
export const noTerminalStatus = 95;

/**
 * The command line that runs `script` under /bin/sh whatever the login shell is. Only characters that mean the same in
 * sh, bash, zsh, tcsh and fish are used; the script itself travels as base64. `marker` is printed on both outputs before and,
 * with the status, after the script, so that whatever else is printed there can be told from the script's own output.
 * @param options.isGuarded whether standard input begins with `guardLine`
 * @param options.terminal the size of the terminal that it runs on; there, both outputs are one and lines end as they do elsewhere
 */
export function renderFramedCommand(
  script: string,
  marker: string,
  options: { isGuarded: boolean; terminal?: TerminalSize | undefined },
): string {
  const { terminal } = options;
  const bytes = Buffer.from(script, 'utf8');
  if (bytes.length > maximumScriptBytes) throw new RangeError(`remote script of ${bytes.length} bytes is too long`);
  const steps = [
    ...(options.isGuarded
      ? [`IFS= read -r hpcrun_line`, `[ "$hpcrun_line" = "${guardLine.trim()}" ] || exit ${inputTakenStatus}`]
      : []),
    // A start-up file may have left a PATH without the system's own programs.
    'command -v base64 >/dev/null || PATH=$PATH:/usr/bin:/bin',
    `hpcrun_script="$(printf %s ${bytes.toString('base64')} | base64 -d)" || exit ${undecodableStatus}`,
    // Transports differ in what they know of the size.
    ...(terminal
      ? [`stty -echo -onlcr rows ${terminal.rows} cols ${terminal.columns} || exit ${noTerminalStatus}`]
      : []),
    `echo ${marker}`,
    ...(terminal ? ['tty'] : [`echo ${marker} >&2`]),
    '(eval "$hpcrun_script")',
    'hpcrun_status=$?',
    `echo ${marker}:$hpcrun_status`,
    ...(terminal ? [] : [`echo ${marker}:$hpcrun_status >&2`]),
    'exit $hpcrun_status',
  ];
  return `exec /bin/sh -c '${steps.join('; ')}'`;
}

/** Takes a script's own output out of a stream of chunks: what is between the marker's two lines. */
export class FrameReader {
  private readonly beginning: Buffer;
  private readonly ending: Buffer;
  private state: 'before' | 'open' | 'ending' | 'ended' = 'before';
  /** Before the frame, the noise; in it, what may be the beginning of the marker; behind it, the status. */
  private held: Buffer = Buffer.alloc(0);
  private noiseBefore: Buffer = Buffer.alloc(0);
  private foundStatus: number | undefined;

  constructor(marker: string) {
    this.beginning = Buffer.from(`${marker}\n`, 'utf8');
    this.ending = Buffer.from(`${marker}:`, 'utf8');
  }

  /** Whether the marker has been seen, that is, whether the script has started. */
  get isOpen(): boolean {
    return this.state !== 'before';
  }

  /** The script's exit status, as soon as its output is complete. */
  get status(): number | undefined {
    return this.foundStatus;
  }

  /** What came before the marker; all that came if there was none. At most the last 64 KiB. */
  get noise(): string {
    return (this.state === 'before' ? this.held : this.noiseBefore).toString('utf8');
  }

  /** The part of the script's own output in this chunk; may be empty. */
  push(chunk: Buffer): Buffer {
    switch (this.state) {
      case 'before':
        return this.pushBefore(chunk);
      case 'open':
        return this.pushOpen(chunk);
      case 'ending':
        this.pushStatus(chunk);
        return Buffer.alloc(0);
      case 'ended':
        return Buffer.alloc(0);
    }
  }

  /** What was held back, once it is known that nothing more will come. */
  flush(): Buffer {
    if (this.state !== 'open' && this.state !== 'ending') return Buffer.alloc(0);
    const rest = this.state === 'ending' ? Buffer.concat([this.ending, this.held]) : this.held;
    this.state = 'ended';
    return rest;
  }

  private pushBefore(chunk: Buffer): Buffer {
    const joined = Buffer.concat([this.held, chunk]);
    const at = joined.indexOf(this.beginning);
    if (at === -1) {
      this.held = joined.subarray(Math.max(0, joined.length - noiseLimitBytes));
      return Buffer.alloc(0);
    }
    this.state = 'open';
    this.noiseBefore = joined.subarray(0, at);
    this.held = Buffer.alloc(0);
    return this.pushOpen(joined.subarray(at + this.beginning.length));
  }

  private pushOpen(chunk: Buffer): Buffer {
    const joined = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk]);
    const at = joined.indexOf(this.ending);
    if (at !== -1) {
      this.state = 'ending';
      this.held = Buffer.alloc(0);
      this.pushStatus(joined.subarray(at + this.ending.length));
      return joined.subarray(0, at);
    }
    const own = joined.length - partialMatch(joined, this.ending);
    this.held = joined.subarray(own);
    return joined.subarray(0, own);
  }

  private pushStatus(chunk: Buffer): void {
    this.held = Buffer.concat([this.held, chunk]);
    const end = this.held.indexOf(0x0a);
    if (end === -1) return;
    this.foundStatus = Number(this.held.subarray(0, end).toString('latin1'));
    this.state = 'ended';
  }
}

/** How many of the last bytes are a beginning of `word`, but not all of it. */
function partialMatch(bytes: Buffer, word: Buffer): number {
  const first = word[0];
  if (first === undefined) return 0;
  let at = bytes.indexOf(first, Math.max(0, bytes.length - word.length + 1));
  while (at !== -1) {
    const length = bytes.length - at;
    if (bytes.subarray(at).equals(word.subarray(0, length))) return length;
    at = bytes.indexOf(first, at + 1);
  }
  return 0;
}
