import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { reconnectDelayMs } from '../../../src/ssh/sharing/back-off.js';

describe('the time before another login', () => {
  it('grows from a second to five minutes', () => {
    expect([0, 1, 2, 5, 9, 100].map((failures) => reconnectDelayMs(failures, 0.5))).toEqual([
      1000, 2000, 4000, 32_000, 300_000, 300_000,
    ]);
  });

  it('is never shorter than three quarters of a second, nor longer than five minutes', () => {
    fc.assert(
      fc.property(fc.nat(), fc.double({ min: 0, max: 1, noNaN: true }), (failures, random) => {
        const delay = reconnectDelayMs(failures, random);
        expect(delay).toBeGreaterThanOrEqual(750);
        expect(delay).toBeLessThanOrEqual(300_000);
      }),
    );
  });
});
