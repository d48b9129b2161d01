import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { Duplex, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { HpcrunError, interrupted, throwIfInterrupted } from '../errors.js';
import { connectionLost, SessionRefused, timedOut, type Channel, type ChannelSource } from './channel.js';
import type { Connection, RemoteResult, RunOptions, StreamOptions, TerminalSize } from './connection.js';
import { explainClosedFrame } from './explain-closed-frame.js';
import { FrameReader, guardLine, renderFramedCommand, replacedStatus } from './frame.js';
import { quote } from './quote.js';
import { ScriptInput } from './script-input.js';

const commandTimeoutMs = 120_000;
const stderrLimitBytes = 1 << 20;
const refusedPauseMs = 250;
// Without a channel of one's own that could end.
const patientRefusals = 40;

/** A start-up file has put another shell in the place of the one that was to run the command. */
class ShellReplaced extends Error {}

/** Scripts over the channels of either transport: framed, timed, and one after the other where the server wants it. */
export class FramedConnection implements Connection {
  /** What settles when they close, of the channels that are open. */
  private readonly open = new Set<Promise<unknown>>();
  /** Whether the server has refused a session: from then on, scripts are started one after the other. */
  private isCrowded = false;
  private queue = Promise.resolve();
  /** Whether the login shell runs the command it is given; one that is replaced reads commands from its input. */
  private shell: 'unknown' | 'direct' | 'replaced' = 'unknown';
  readonly forward?: (host: string, port: number, signal: AbortSignal) => Promise<Duplex>;

  constructor(private readonly source: ChannelSource) {
    if (source.forward) this.forward = source.forward.bind(source);
  }

  get description(): string {
    return this.source.description;
  }

  get closed(): Promise<void> {
    return this.source.closed;
  }

  close(): void {
    this.source.close();
  }

  async run(script: string, options: RunOptions): Promise<RemoteResult> {
    const chunks: Buffer[] = [];
    const onStdout = (chunk: Buffer) => {
      chunks.push(chunk);
    };
    const result = await this.stream(script, { timeoutMs: commandTimeoutMs, ...options, onStdout });
    return { ...result, stdout: Buffer.concat(chunks) };
  }

  async stream(script: string, options: StreamOptions): Promise<Omit<RemoteResult, 'stdout'>> {
    const input = new ScriptInput(options.stdin);
    try {
      return await this.startInTurn(script, input, options);
    } finally {
      // A source may be waiting for what does not come any more: nobody waits for it.
      void input.close();
    }
  }

  private async startInTurn(
    script: string,
    input: ScriptInput,
    options: StreamOptions,
  ): Promise<Omit<RemoteResult, 'stdout'>> {
    if (!this.isCrowded) {
      try {
        return await this.start(script, input, options, () => undefined);
      } catch (error) {
        if (!(error instanceof SessionRefused)) throw error;
        this.isCrowded = true;
      }
    }
    // Whoever asked first comes first: a script may wait for what the one before it does.
    const turn = this.queue;
    let leave: () => void = () => undefined;
    this.queue = new Promise((resolve) => {
      leave = resolve;
    });
    await turn;
    try {
      return await this.startPatiently(script, input, options, leave);
    } finally {
      leave();
    }
  }

  private async startPatiently(
    script: string,
    input: ScriptInput,
    options: StreamOptions,
    onStarted: () => void,
  ): Promise<Omit<RemoteResult, 'stdout'>> {
    for (let refusals = 0; ;) {
      throwIfInterrupted(options.signal);
      try {
        return await this.start(script, input, options, onStarted);
      } catch (error) {
        if (!(error instanceof SessionRefused) || refusals >= patientRefusals) throw error;
      }
      // A server may count a session for a moment after it has closed.
      if (this.open.size === 0) refusals += 1;
      await Promise.race([...this.open, sleep(refusedPauseMs)]);
    }
  }

  private async start(
    script: string,
    input: ScriptInput,
    options: StreamOptions,
    onStarted: () => void,
  ): Promise<Omit<RemoteResult, 'stdout'>> {
    try {
      return await this.attempt(script, input, options, onStarted);
    } catch (error) {
      if (!(error instanceof ShellReplaced)) throw error;
      this.shell = 'replaced';
      return await this.attempt(script, input, options, onStarted);
    }
  }

  private async attempt(
    script: string,
    input: ScriptInput,
    options: StreamOptions,
    onStarted: () => void,
  ): Promise<Omit<RemoteResult, 'stdout'>> {
    const { signal, timeoutMs, terminal } = options;
    throwIfInterrupted(signal);
    // Any number of scripts may run at once.
    setMaxListeners(0, signal);
    // A terminal does not keep what is sent to it before its shell is there, nor long lines.
    if (terminal && this.shell === 'unknown') await this.run(':', { signal });
    if (terminal && this.shell === 'replaced') throw noTerminalHere(this.description);
    const marker = `hpcrun-${randomBytes(9).toString('hex')}`;
    const { shell } = this;
    const command = renderFramedCommand(script, marker, { isGuarded: shell === 'unknown', terminal: terminal?.size });
    // What it is told to run, a shell that is replaced does not hear; the one in its place reads its input.
    const channel = this.count(
      await this.source.openChannel(shell === 'replaced' ? 'exec /bin/sh' : command, signal, terminal),
    );
    // A server closes a channel only when the script has ended, which may be never: hpcrun does not wait for that.
    let end: (error: Error) => void = () => undefined;
    let isOver = false;
    const ended = new Promise<never>((_, reject) => {
      end = reject;
    });
    const onAbort = () => {
      end(interrupted());
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            end(timedOut(this.description, timeoutMs));
          }, timeoutMs);
    let endResizing: (() => void) | undefined;
    const onStdout = (chunk: Buffer) => (isOver ? undefined : options.onStdout(chunk));
    const onTerminal = (path: string) => {
      endResizing = terminal?.onResize?.(this.resizer(channel, path, signal));
    };
    const handlers = {
      onStdout: terminal ? afterFirstLine(onTerminal, onStdout) : onStdout,
      onStderr: options.onStderr && ((chunk: Buffer) => (isOver ? undefined : options.onStderr?.(chunk))),
      onStarted: () => {
        if (this.shell === 'unknown') this.shell = 'direct';
        if (isSentLater) send();
        input.commit();
        onStarted();
      },
    };
    const follower = new Follower(channel, marker, handlers, terminal !== undefined);
    // Into a terminal nothing goes before its echo is off.
    const isSentLater = shell === 'replaced' || terminal !== undefined;
    const send = () => {
      input.send(channel.stdin).catch(end);
    };
    try {
      if (shell === 'replaced') {
        channel.stdin.write(`${command}\n`);
        // A shell may read further than its line and must not find there what is for the script; some wait for the end.
        if (input.isEmpty) channel.stdin.end();
      } else if (!isSentLater) {
        if (shell === 'unknown') channel.stdin.write(guardLine);
        send();
      }
      return await Promise.race([this.judge(channel, follower, shell), ended]);
    } finally {
      isOver = true;
      endResizing?.();
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      channel.close();
    }
  }

  /** The result of a script when its output is complete, or the error that says why there is none. */
  private async judge(
    channel: Channel,
    follower: Follower,
    shell: FramedConnection['shell'],
  ): Promise<Omit<RemoteResult, 'stdout'>> {
    const status = await follower.finished;
    const { stderr } = follower;
    if (status !== undefined) return { stderr, exitCode: status };
    const { exitCode, cause, isRefused } = await channel.ended;
    if (isRefused) throw new SessionRefused(this.description, cause ?? new Error('session refused'));
    if (exitCode === undefined) throw connectionLost(this.description, cause);
    if (follower.isStarted) return { stderr, exitCode };
    if (shell === 'unknown' && exitCode === replacedStatus) throw new ShellReplaced();
    throw explainClosedFrame(this.description, exitCode, follower.noise);
  }

  /** What tells a terminal of its size; where the transport cannot, stty over there does. */
  private resizer(channel: Channel, path: string, signal: AbortSignal): (size: TerminalSize) => void {
    return (size) => {
      if (channel.resize) channel.resize(size);
      else {
        const script = `exec stty rows ${size.rows} cols ${size.columns} <${quote(path)}`;
        // The terminal may have ended meanwhile; its size then is of no interest.
        this.run(script, { signal }).catch(() => undefined);
      }
    };
  }

  private count(channel: Channel): Channel {
    this.open.add(channel.ended);
    void channel.ended.then(() => this.open.delete(channel.ended));
    return channel;
  }
}

function noTerminalHere(description: string): HpcrunError {
  return new HpcrunError(
    'REMOTE_SHELL_UNUSABLE',
    `${description} gives no terminal: a start-up file there puts another shell in the place of the login shell`,
    { hint: 'Let it do so only in interactive shells. Commands without -t work all the same.' },
  );
}

/** Gives the first line to one, and all that follows to another. */
function afterFirstLine(
  onLine: (line: string) => void,
  onRest: (chunk: Buffer) => void | Promise<void>,
): (chunk: Buffer) => void | Promise<void> {
  let line: Buffer | undefined = Buffer.alloc(0);
  return (chunk) => {
    if (line === undefined) return onRest(chunk);
    line = Buffer.concat([line, chunk]);
    const end = line.indexOf(0x0a);
    if (end === -1) return;
    const [first, rest] = [line.subarray(0, end), line.subarray(end + 1)];
    line = undefined;
    onLine(first.toString('latin1'));
    if (rest.length > 0) return onRest(rest);
  };
}

/** Reads both outputs of a framed script. */
class Follower {
  /** The script's status once its output is complete and taken; undefined if the channel closed before that. */
  readonly finished: Promise<number | undefined>;
  private readonly out: FrameReader;
  private readonly err: FrameReader;
  private stderrBytes: Buffer = Buffer.alloc(0);

  constructor(
    channel: Channel,
    marker: string,
    handlers: {
      onStdout: (chunk: Buffer) => void | Promise<void>;
      onStderr: ((chunk: Buffer) => void | Promise<void>) | undefined;
      onStarted: () => void;
    },
    isTerminal: boolean,
  ) {
    this.out = new FrameReader(marker);
    this.err = new FrameReader(marker);
    let isStarted = false;
    const stdout = readFrame(channel.stdout, this.out, (chunk) => {
      if (!isStarted && this.out.isOpen) {
        isStarted = true;
        handlers.onStarted();
      }
      return chunk.length > 0 ? handlers.onStdout(chunk) : undefined;
    });
    const stderr = readFrame(channel.stderr, this.err, (chunk) => {
      if (handlers.onStderr) return chunk.length > 0 ? handlers.onStderr(chunk) : undefined;
      this.stderrBytes = Buffer.concat([this.stderrBytes, chunk]).subarray(-stderrLimitBytes);
    });
    // A terminal has one output.
    this.finished = Promise.all(isTerminal ? [stdout] : [stdout, stderr]).then(
      () => this.out.status ?? this.err.status,
    );
  }

  get isStarted(): boolean {
    return this.out.isOpen;
  }

  get stderr(): string {
    return this.stderrBytes.toString('utf8');
  }

  get noise(): string {
    return `${this.out.noise}${this.err.noise}`;
  }
}

/** Settles when the frame has ended, or the stream, and all of it is taken; fails when `take` does. */
function readFrame(stream: Readable, frame: FrameReader, take: (chunk: Buffer) => void | Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    let taking: Promise<void> = Promise.resolve();
    const finish = () => {
      taking.then(resolve, reject);
    };
    const takeChunk = (chunk: Buffer) => {
      const waiting = take(chunk);
      if (!waiting) return;
      stream.pause();
      // One at a time: while it is paused, no further chunk comes.
      taking = waiting;
      waiting.then(
        () => stream.resume(),
        () => stream.resume(),
      );
      waiting.catch(reject);
    };
    const attend = (chunk: Buffer) => {
      try {
        takeChunk(chunk);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    };
    stream.on('data', (chunk: Buffer) => {
      attend(frame.push(chunk));
      if (frame.status !== undefined) finish();
    });
    const onEnd = () => {
      attend(frame.flush());
      finish();
    };
    stream.once('end', onEnd);
    stream.once('close', onEnd);
    stream.once('error', finish);
  });
}
