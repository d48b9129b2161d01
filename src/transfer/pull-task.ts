import type { Connection } from '../ssh/connection.js';
import type { Arrivals } from './arrivals.js';
import type { RateLimit } from './rate-limit.js';
import type { RemoteFile } from './remote-file.js';

/** What all parts of one pull work with. */
export interface PullTask {
  connection: Connection;
  /** On the far side, absolute: files' sources are relative to it. */
  directory: string;
  arrivals: Arrivals;
  limit: RateLimit;
  /** Whether files are taken as they are while somebody writes to them. */
  live: boolean;
  /** Takes note of a file that changed while it was brought here. */
  changed: (file: RemoteFile) => void;
  /** So many more bytes have arrived. */
  onBytes: (bytes: number) => void;
  signal: AbortSignal;
}
