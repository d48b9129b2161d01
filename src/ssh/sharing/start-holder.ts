import { spawn } from 'node:child_process';
import { mkdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { HpcrunError, isMissing, isSystemError, throwIfInterrupted } from '../../errors.js';
import { endHolder, reachHolder, type HolderClient } from '../shared-connection.js';
import { holderInfoSchema, type HolderSettings } from './messages.js';
import { checkDirectory, type SocketPlace } from './socket-place.js';

const lockMs = 30_000;
const startMs = 30_000;

/**
 * Does what must not be done by two at once in a place: looking whether somebody holds a connection, and becoming the one who
 * does. Makes the place's directory.
 */
export async function withPlace<T>(place: SocketPlace, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const givesUpAt = Date.now() + lockMs;
  for (;;) {
    throwIfInterrupted(signal);
    await mkdir(place.directory, { recursive: true, mode: 0o700 });
    await checkDirectory(place.directory);
    try {
      await writeFile(place.lock, String(process.pid), { flag: 'wx', mode: 0o600 });
      break;
    } catch (error) {
      // Whoever ends a connection removes its directory.
      if (isMissing(error)) continue;
      if (!isSystemError(error, 'EEXIST')) throw error;
    }
    await breakLock(place.lock);
    if (Date.now() > givesUpAt) {
      throw new HpcrunError(
        'SHARED_CONNECTION_FAILED',
        'another hpcrun is just making or ending the shared connection',
        {
          hint: 'Try again in a moment.',
        },
      );
    }
    await sleep(50);
  }
  try {
    return await work();
  } finally {
    await rm(place.lock, { force: true });
  }
}

/** Takes away the lock of a process that has been killed. */
async function breakLock(lock: string): Promise<void> {
  const owner = await readIfThere(lock);
  // An empty one is just being written.
  if (owner === undefined || owner === '' || isAlive(Number(owner))) return;
  const aside = `${lock}.${process.pid}`;
  try {
    await rename(lock, aside);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  await rm(aside, { force: true });
}

/** Starts a process that holds a connection, free of this one and its terminal, and returns when it listens. Throws SHARED_CONNECTION_FAILED. */
export async function startHolder(program: string, settings: HolderSettings): Promise<void> {
  const child = spawn(process.execPath, [program, settings.cluster], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2000);
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(JSON.stringify(settings));
  const failed = (why: string) =>
    new HpcrunError('SHARED_CONNECTION_FAILED', `the process that is to hold the connection did not start: ${why}`, {
      hint: `${settings.logFile} may say more.`,
    });
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(failed(`no answer within ${startMs / 1000} s`));
      }, startMs);
      createInterface({ input: child.stdout }).once('line', () => {
        clearTimeout(timer);
        resolve();
      });
      child.once('error', (error) => {
        clearTimeout(timer);
        reject(failed(error.message));
      });
      child.once('close', (code) => {
        clearTimeout(timer);
        reject(failed(said.trim() || `it ended with status ${code ?? 'unknown'}`));
      });
    });
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  child.stdout.destroy();
  child.stderr.destroy();
  child.unref();
}

/** Ends whoever holds a connection in the place, also one that does not answer, and removes what one that was killed has left. Whether there was one. */
export async function clearPlace(place: SocketPlace): Promise<boolean> {
  let client: HolderClient | undefined;
  let isHung = false;
  try {
    client = await reachHolder(place);
    if (client?.welcome.accepted) await endHolder(client);
    else if (client) isHung = true;
  } catch (error) {
    const mayEnd = error instanceof HpcrunError && ['SHARED_CONNECTION_FAILED', 'CONNECTION_LOST'].includes(error.code);
    if (!mayEnd) throw error;
    isHung = true;
  } finally {
    client?.multiplexer.close();
  }
  if (isHung) {
    // Its socket is listened at, so that the number is still that process's.
    const info = holderInfoSchema.safeParse(JSON.parse((await readIfThere(place.info)) ?? '{}'));
    if (info.success && isAlive(info.data.pid)) process.kill(info.data.pid, 'SIGKILL');
  }
  for (const path of [place.socket, place.token, place.info]) await rm(path, { force: true });
  return client !== undefined || isHung;
}

/** Removes the directory of a place that is empty. */
export async function removePlace({ directory }: SocketPlace): Promise<void> {
  try {
    await rmdir(directory);
  } catch (error) {
    if (!isMissing(error) && !isSystemError(error, 'ENOTEMPTY') && !isSystemError(error, 'EEXIST')) throw error;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isSystemError(error, 'EPERM');
  }
}
