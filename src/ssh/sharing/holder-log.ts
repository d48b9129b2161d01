import { appendFileSync, chmodSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { isMissing } from '../../errors.js';
import { printable } from '../terminal-text.js';

const limitBytes = 128 * 1024;

/** A log of events, 0600, of at most 256 KiB in two files. What is said or typed never comes into it. */
export function openLog(path: string): (text: string) => void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return (text) => {
    try {
      if (statSync(path).size > limitBytes) renameSync(path, `${path}.old`);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    appendFileSync(path, `${new Date().toISOString()} ${process.pid} ${printable(text).slice(0, 2000)}\n`, {
      mode: 0o600,
    });
    chmodSync(path, 0o600);
  };
}
