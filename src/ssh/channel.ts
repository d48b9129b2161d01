import type { Duplex, Readable, Writable } from 'node:stream';
import { HpcrunError } from '../errors.js';
import type { TerminalRequest, TerminalSize } from './connection.js';
import { printable } from './terminal-text.js';

/** How a command on the far side ended. */
export interface ChannelEnd {
  /** Undefined when nobody said: the connection broke, or a signal ended the command. */
  exitCode?: number | undefined;
  /** What is known of a connection that broke. */
  cause?: Error | undefined;
  /** The server had no room for another session: the command was never started. */
  isRefused?: boolean;
}

/** One command on the far side. */
export interface Channel {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Settles when the channel is gone; never fails. */
  readonly ended: Promise<ChannelEnd>;
  /** Tells its terminal of a new size; missing where the transport cannot. */
  resize?(size: TerminalSize): void;
  /** Lets go of it at once, whatever the far side does. */
  close(): void;
}

/** What a transport has to give: channels of a connection that is logged in. */
export interface ChannelSource {
  /** `user@host:port`, for messages. */
  readonly description: string;
  /** Settles when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;
  /**
   * Starts a command with the account's login shell, on a terminal if one is asked for. Throws SessionRefused, CONNECTION_LOST,
   * REMOTE_TIMEOUT or INTERRUPTED.
   */
  openChannel(command: string, signal: AbortSignal, terminal?: TerminalRequest): Promise<Channel>;
  /** As `Connection.forward`. */
  forward?(host: string, port: number, signal: AbortSignal): Promise<Duplex>;
  close(): void;
}

/** The server has no room for another session beside those that are open (MaxSessions of sshd_config). */
export class SessionRefused extends HpcrunError {
  constructor(description: string, cause: Error) {
    super('CONNECTION_LOST', `${description} allows no further session: ${printable(cause.message)}`, {
      hint: 'Other programs may use the same connection; try again in a moment.',
      cause,
    });
  }
}

export function connectionLost(description: string, cause: unknown): HpcrunError {
  const why = cause instanceof Error ? `: ${printable(cause.message)}` : '';
  return new HpcrunError('CONNECTION_LOST', `the connection to ${description} broke${why}`, {
    hint: 'Nothing half-written is ever used: run the same command again.',
    cause,
  });
}

export function timedOut(description: string, timeoutMs: number): HpcrunError {
  return new HpcrunError('REMOTE_TIMEOUT', `${description} gave no answer within ${Math.round(timeoutMs / 1000)} s`, {
    hint: 'The login node may be overloaded; try again in a moment.',
  });
}

export function forwardRefused(description: string, target: string, cause: Error): HpcrunError {
  return new HpcrunError(
    'FORWARD_REFUSED',
    `${description} does not connect to ${target}: ${printable(cause.message)}`,
    {
      hint: 'Is something listening there? A site may also forbid forwarding (AllowTcpForwarding of its sshd).',
      cause,
    },
  );
}
