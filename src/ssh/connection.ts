import type { Duplex } from 'node:stream';

/** How one remote command is run. */
export interface RunOptions {
  /**
   * Sent to the script's standard input; without it the script sees an empty one. A chunk is done with when the next one is asked
   * for: its memory may be used again.
   */
  stdin?: Buffer | AsyncIterable<Buffer>;
  /** Ends the command with REMOTE_TIMEOUT after this long; without it, two minutes. */
  timeoutMs?: number;
  signal: AbortSignal;
}

export interface RemoteResult {
  stdout: Buffer;
  stderr: string;
  exitCode: number;
}

export interface StreamOptions extends RunOptions {
  /** Called with the script's output as it arrives; a promise holds the far side back until it is settled. */
  onStdout: (chunk: Buffer) => void | Promise<void>;
  /** Called with its standard error as it arrives; without it, the last of it is in the result. */
  onStderr?: ((chunk: Buffer) => void | Promise<void>) | undefined;
  /**
   * Runs the script on a terminal of its own over there, without echo and output conversion until the script wants them. Both
   * outputs then come as one; what is connected to the terminal is hung up when the stream ends, whoever ends it.
   */
  terminal?: TerminalRequest | undefined;
}

export interface TerminalSize {
  columns: number;
  rows: number;
}

/** What a terminal on the far side should be like. */
export interface TerminalRequest {
  /** TERM. */
  type: string;
  size: TerminalSize;
  /** Told whom to call with later sizes; returns what ends that. */
  onResize?: ((resize: (size: TerminalSize) => void) => () => void) | undefined;
}

/** An authenticated connection to a cluster's login node, over which any number of scripts may run at once. */
export interface Connection {
  /** `user@host:port`, for messages. */
  readonly description: string;
  /**
   * Runs a POSIX shell script under /bin/sh. A script that exits with a status other than 0 is a result, not an error.
   * Throws CONNECTION_LOST, REMOTE_TIMEOUT, REMOTE_SHELL_UNUSABLE or INTERRUPTED.
   */
  run(script: string, options: RunOptions): Promise<RemoteResult>;
  /** As `run`, for output that is too large or too long-lived to be held in memory. No timeout unless asked for. */
  stream(script: string, options: StreamOptions): Promise<Omit<RemoteResult, 'stdout'>>;
  /**
   * A byte stream to a TCP port as the login node reaches it (`localhost` is the login node itself); missing where the transport
   * has none. Throws CONNECTION_LOST, FORWARD_REFUSED or INTERRUPTED.
   */
  forward?(host: string, port: number, signal: AbortSignal): Promise<Duplex>;
  /** Settles when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;
  close(): void;
}
