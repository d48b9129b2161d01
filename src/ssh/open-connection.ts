import type { Connection } from './connection.js';
import type { OpenOptions } from './login.js';
import type { HostOverrides } from './ssh-config.js';

export type { OpenOptions };

/** Which host to log in to, and what hpcrun's own configuration says about it. */
export type ConnectionTarget = HostOverrides;

/**
 * Logs in to a host. Every command comes to its connection through here. Host keys are always verified. Throws
 * CONNECTION_FAILED, LOGIN_FAILED, HOST_KEY_UNKNOWN, HOST_KEY_CHANGED, HOST_KEY_REVOKED, INPUT_NEEDED or INTERRUPTED.
 */
export async function openConnection(target: ConnectionTarget, options: OpenOptions): Promise<Connection> {
  const { openSsh2Connection } = await import('./ssh2-connection.js');
  return await openSsh2Connection(target, options);
}
