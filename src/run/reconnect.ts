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

const patience = 5;

/**
 * Does something over the session's connection that may be done again, and does it again on a new one if the connection is lost, where
 * nobody has to be asked for that. Throws what was lost if it cannot be had back.
 */
export async function persistently<T>(session: Session, work: () => Promise<T>): Promise<T> {
  for (let left = patience; ; left -= 1) {
    try {
      return await work();
    } catch (error) {
      if (!isLoss(error) || left === 0) throw error;
      session.progress.note(`${error.message}. Connecting again …`);
      try {
        await reconnect(session, { unattended: true });
      } catch (again) {
        if (again instanceof HpcrunError && again.code === 'INTERRUPTED') throw again;
        if (!(again instanceof HpcrunError)) throw again;
        throw new HpcrunError(error.code, `${error.message}; it could not be made anew: ${again.message}`, {
          hint: 'The job goes on. Give the command again; "hpcrun connect" keeps one login for many commands.',
          cause: error,
        });
      }
    }
  }
}
