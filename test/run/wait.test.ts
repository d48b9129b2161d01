import { describe, expect, it } from 'vitest';
import { exitStatusOf } from '../../src/run/wait.js';
import { runRecord } from '../support/run-record.js';

describe('exitStatusOf', () => {
  it.each<[string, number | undefined, number]>([
    ['COMPLETED', 0, 0],
    ['COMPLETED', undefined, 0],
    ['FAILED', 7, 7],
    ['FAILED', 255, 255],
    ['FAILED', undefined, 1],
    ['FAILED', 0, 1],
    ['TIMEOUT', 0, 124],
    ['TIMEOUT', undefined, 124],
    ['DEADLINE', undefined, 124],
    ['CANCELLED', 0, 143],
    ['CANCELLED', undefined, 143],
    ['PREEMPTED', undefined, 143],
    ['OUT_OF_MEMORY', undefined, 137],
    ['OUT_OF_MEMORY', 137, 137],
    ['NODE_FAIL', undefined, 1],
    ['UNKNOWN', undefined, 8],
    ['TIMEOUT', 143, 124],
  ])('a job that is %s with status %j gives %d', (state, exitCode, expected) => {
    const record = runRecord();
    const none = { reason: undefined, elapsedSeconds: undefined, nodes: undefined, startTime: undefined };
    expect(exitStatusOf({ ...none, runId: record.runId, jobId: '41', record, state, exitCode })).toBe(expected);
  });
});
