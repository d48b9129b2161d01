import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HpcrunError, isSystemError, messageOf, throwIfInterrupted, type ErrorCode } from '../src/errors.js';
import { failureOf } from './support/failure.js';
import { makeTemporaryDirectory } from './support/temporary-directory.js';

describe('HpcrunError', () => {
  it.each<[ErrorCode, number]>([
    ['USAGE', 2],
    ['CONFIG_INVALID', 2],
    ['BUILD_FAILED', 3],
    ['CONVERSION_FAILED', 4],
    ['HOST_KEY_CHANGED', 5],
    ['LOGIN_FAILED', 5],
    ['REMOTE_DISK_FULL', 6],
    ['TRANSFER_FAILED', 6],
    ['SLURM_REFUSED', 7],
    ['RUN_NOT_FOUND', 8],
    ['INTERRUPTED', 130],
  ])('%s exits with %d', (code, status) => {
    expect(new HpcrunError(code, 'x').exitStatus).toBe(status);
  });

  it('keeps message, hint and cause', () => {
    const cause = new Error('below');
    const error = new HpcrunError('USAGE', 'what failed', { hint: 'try this', cause });
    expect(error).toMatchObject({ message: 'what failed', hint: 'try this', cause });
    expect('cause' in new HpcrunError('USAGE', 'x')).toBe(false);
  });
});

describe('what was thrown', () => {
  it('has a message, whatever it is', () => {
    expect(messageOf(new Error('a'))).toBe('a');
    expect(messageOf('b')).toBe('b');
    expect(messageOf(undefined)).toBe('undefined');
  });

  it('is told apart by its system error code', async () => {
    const missing = join(await makeTemporaryDirectory(), 'missing');
    const error: unknown = await readFile(missing).catch((thrown: unknown) => thrown);
    expect(isSystemError(error, 'ENOENT')).toBe(true);
    expect(isSystemError(error, 'EACCES')).toBe(false);
    expect(isSystemError(new Error('ENOENT'), 'ENOENT')).toBe(false);
    expect(isSystemError({ code: 'ENOENT' }, 'ENOENT')).toBe(false);
  });
});

describe('throwIfInterrupted', () => {
  it('throws once the signal is aborted', async () => {
    const controller = new AbortController();
    expect(() => {
      throwIfInterrupted(controller.signal);
    }).not.toThrow();
    controller.abort();
    const error = await failureOf(() => {
      throwIfInterrupted(controller.signal);
    });
    expect(error.code).toBe('INTERRUPTED');
  });
});
