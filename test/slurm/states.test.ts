import { describe, expect, it } from 'vitest';
import { isEnded, parseElapsed, parseExitCode, parseState, parseWord } from '../../src/slurm/states.js';

describe('isEnded', () => {
  it.each([
    ...['BOOT_FAIL', 'CANCELLED', 'COMPLETED', 'DEADLINE', 'FAILED', 'NODE_FAIL', 'OUT_OF_MEMORY', 'PREEMPTED'],
    'TIMEOUT',
  ])('%s is the end', (state) => {
    expect(isEnded(state)).toBe(true);
  });

  it.each(['PENDING', 'RUNNING', 'COMPLETING', 'CONFIGURING', 'REQUEUED', 'SUSPENDED', 'UNKNOWN', 'NOT_SUBMITTED', ''])(
    '%j is not',
    (state) => {
      expect(isEnded(state)).toBe(false);
    },
  );
});

describe('parseState', () => {
  it.each([
    ['COMPLETED', 'COMPLETED'],
    ['CANCELLED by 1500', 'CANCELLED'],
    ['CANCELLED+', 'CANCELLED'],
    ['OUT_OF_MEMORY', 'OUT_OF_MEMORY'],
    ['', 'UNKNOWN'],
    ['?', 'UNKNOWN'],
  ])('%j is %s', (text, expected) => {
    expect(parseState(text)).toBe(expected);
  });
});

describe('parseExitCode', () => {
  it.each([
    ['0:0', 0],
    ['7:0', 7],
    ['0:9', 137],
    ['0:15', 143],
    ['1:9', 1],
    ['', undefined],
    ['0', undefined],
    ['x:0', undefined],
  ])('%j is %j', (text, expected) => {
    expect(parseExitCode(text)).toBe(expected);
  });
});

describe('parseElapsed', () => {
  it.each([
    ['0:00', 0],
    ['1:05', 65],
    ['59:59', 3599],
    ['1:00:00', 3600],
    ['1-02:03:04', 93_784],
    ['INVALID', undefined],
    ['', undefined],
    ['5', undefined],
  ])('%j is %j seconds', (text, expected) => {
    expect(parseElapsed(text)).toBe(expected);
  });
});

describe('parseWord', () => {
  it.each(['', 'None', 'NONE', '(null)', 'N/A', 'Unknown', 'None assigned', undefined])('%j is nothing', (text) => {
    expect(parseWord(text)).toBeUndefined();
  });

  it.each(['Priority', 'Resources', 'node01', 'NonZeroExitCode', 'None of them'])('%j is a word', (text) => {
    expect(parseWord(text)).toBe(text);
  });
});
