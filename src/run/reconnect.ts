import { setTimeout as sleep } from 'node:timers/promises';
import { HpcrunError } from '../errors.js';
import type { Connection } from '../ssh/connection.js';
import type { Session } from './session.js';

/** What a network that is away for a while makes of a command. */
export function isLoss(error: unknown): error is HpcrunError {
  return (
    error instanceof HpcrunError && ['CONNECTION_LOST', 'CONNECTION_FAILED', 'REMOTE_TIMEOUT'].includes(error.code)
  );
}

// Sites ban hosts that connect too often.
const pausesSeconds = [1, 2, 4, 8, 15, 30, 30, 30, 30, 30];

/**
 * Logs in anew after a connection was lost, for about three minutes. Throws what the last attempt threw, and at once what is not a
 * network's fault, such as INPUT_NEEDED.
 */
export async function reconnect(session: Session, options: { unattended: boolean }): Promise<Connection> {
  for (const seconds of pausesSeconds) {
    await sleep(seconds * 1000, undefined, { signal: session.signal });
    try {
      return await session.reconnect(options);
    } catch (error) {
      if (!isLoss(error)) throw error;
    }
  }
  return await session.reconnect(options);
}
