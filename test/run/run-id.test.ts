import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRunId, makeRunId } from '../../src/run/run-id.js';

const date = fc.date({ min: new Date('2000-01-01'), max: new Date('2999-12-31'), noInvalidDate: true });

describe('makeRunId', () => {
  it('begins with the time in UTC', () => {
    expect(makeRunId(new Date('2026-11-22T08:15:30.999Z'))).toMatch(/^20261122-081530-[a-z0-9]{4}$/);
  });

  it('makes ids that are recognised and sort by time', () => {
    fc.assert(
      fc.property(date, date, (one, two) => {
        const [first, second] = [makeRunId(one), makeRunId(two)];
        expect(isRunId(first)).toBe(true);
        if (Math.floor(one.getTime() / 1000) < Math.floor(two.getTime() / 1000)) expect(first < second).toBe(true);
      }),
    );
  });

  it('does not give two runs of one second the same id', () => {
    const now = new Date();
    const ids = new Set(Array.from({ length: 20 }, () => makeRunId(now)));
    // 20 of half a million: two that are equal come up once in three thousand times, three never.
    expect(ids.size).toBeGreaterThan(17);
  });
});

describe('isRunId', () => {
  it.each([
    ...[
      '',
      '20261122-081530',
      '20261122-081530-k3f',
      '20261122-081530-K3F9',
      '20261122-081530-k3f9x',
      ' 20261122-081530-k3f9',
    ],
    ...['../20261122-081530-k3f9', '20261122-081530-k3f9\n', '20261122-081530-../a', '.new-20261122-081530-k3f9', '*'],
  ])('%j is none', (text) => {
    expect(isRunId(text)).toBe(false);
  });
});
