import { HpcrunError } from '../errors.js';
import type { Connection } from './connection.js';
import type { OpenOptions } from './login.js';
import { isSafeHost, isSafeUser } from './safe-names.js';
import { parseJump, type HostOverrides } from './ssh-config.js';

export type { OpenOptions };

/** Who speaks SSH: hpcrun itself with ssh2, or the system's own ssh. */
export type Transport = 'ssh2' | 'openssh';

/** Which host to log in to, and what hpcrun's own configuration says about it. */
export interface ConnectionTarget extends HostOverrides {
  /** ssh2 unless asked for. */
  transport?: Transport | undefined;
}

/**
 * Logs in to a host. Every command comes to its connection through here. Host keys are always verified. Throws
 * CONNECTION_FAILED, LOGIN_FAILED, HOST_KEY_UNKNOWN, HOST_KEY_CHANGED, HOST_KEY_REVOKED, INPUT_NEEDED or INTERRUPTED.
 */
export async function openConnection(target: ConnectionTarget, options: OpenOptions): Promise<Connection> {
  // A project that somebody else has written may name a host, and a ProxyCommand hands that name to a shell.
  const { proxyJump } = target;
  const jumps = proxyJump === undefined || proxyJump === 'none' ? [] : proxyJump.split(',').map(parseJump);
  for (const { host, user } of [target, ...jumps]) {
    if (!isSafeHost(host)) throw unsafeName(`"${host}" cannot be the name of a host`);
    if (user !== undefined && !isSafeUser(user)) throw unsafeName(`"${user}" cannot be the name of a user`);
  }
  if (target.transport === 'openssh') {
    const { openOpensshConnection } = await import('./openssh-connection.js');
    return await openOpensshConnection(target, options);
  }
  const { openSsh2Connection } = await import('./ssh2-connection.js');
  return await openSsh2Connection(target, options);
}

function unsafeName(message: string): HpcrunError {
  return new HpcrunError('CONNECTION_FAILED', message, {
    hint: 'Names hold no quotes or other characters that mean something to a shell. Look at the cluster in hpcrun.yaml.',
  });
}
