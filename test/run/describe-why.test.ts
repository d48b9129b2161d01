import { describe, expect, it } from 'vitest';
import { describePlace, describeWaiting, describeWhy } from '../../src/run/describe-why.js';

const now = new Date(2026, 10, 25, 12, 0).getTime();
const seconds = (...time: [number, number, number, number, number]) => new Date(...time).getTime() / 1000;
const job = { state: 'PENDING', reason: 'Priority', startTime: undefined, nodes: undefined };

describe('describeWhy', () => {
  it.each<[object, string | undefined]>([
    [{}, 'Priority: jobs with a higher priority go first'],
    [
      { startTime: seconds(2026, 10, 25, 14, 5) },
      'Priority: jobs with a higher priority go first; expected to start at 14:05',
    ],
    [
      { startTime: seconds(2026, 10, 27, 9, 0) },
      'Priority: jobs with a higher priority go first; expected to start 2026-11-27 09:00',
    ],
    [{ startTime: seconds(2026, 10, 25, 11, 0) }, 'Priority: jobs with a higher priority go first'],
    [{ reason: undefined, startTime: seconds(2026, 10, 25, 14, 5) }, 'expected to start at 14:05'],
    [{ reason: 'Unheard' }, 'Unheard'],
    [{ state: 'COMPLETED', reason: 'BeginTime' }, undefined],
    [{ state: 'FAILED', reason: 'NonZeroExitCode' }, 'NonZeroExitCode'],
    [{ state: 'RUNNING', reason: undefined, nodes: 'c1', startTime: 1 }, undefined],
    [{ state: 'COMPLETING', reason: undefined, nodes: 'c1' }, 'it is ending'],
    [{ state: 'NOT_SUBMITTED', reason: undefined }, 'its submission was broken off before there was a job'],
  ])('of %j is %j', (changes, expected) => {
    expect(describeWhy({ ...job, ...changes }, now)).toBe(expected);
  });
});

describe('describePlace', () => {
  it.each<[object, string]>([
    [{ state: 'RUNNING', reason: undefined, nodes: 'c1' }, 'c1'],
    [{ state: 'FAILED', reason: 'NonZeroExitCode', nodes: 'c1' }, 'c1'],
    [{ state: 'COMPLETING', reason: undefined, nodes: 'c1' }, 'c1; it is ending'],
    [{ state: 'PENDING', reason: undefined }, '-'],
  ])('of %j is %s', (changes, expected) => {
    expect(describePlace({ ...job, ...changes }, now)).toBe(expected);
  });
});

it('says what a job waits for', () => {
  expect(describeWaiting(job, now)).toBe('Waiting in the queue (Priority: jobs with a higher priority go first).');
  expect(describeWaiting({ ...job, reason: undefined }, now)).toBe('Waiting in the queue.');
});
