import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { isSystemError } from '../errors.js';
import { printable } from '../ssh/terminal-text.js';

/** The line by which this process holds an upload: machine, process id, and a word of its own. */
export function renderLock(): string {
  return `${hostname()} ${process.pid} ${randomBytes(8).toString('hex')}`;
}

/** Whether whoever wrote the line was a process of this machine that has ended. */
export function isAbandoned(lock: string): boolean {
  const [host, pid] = lock.split(' ');
  if (host !== hostname() || !/^[1-9]\d*$/.test(pid ?? '')) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return isSystemError(error, 'ESRCH');
  }
}

/** For people. */
export function describeOwner(lock: string): string {
  const [host = '', pid = ''] = lock.split(' ');
  return host === hostname() ? `Another hpcrun here (process ${printable(pid)})` : `An hpcrun on ${printable(host)}`;
}
