import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatBytes, formatDuration, withStep, type Progress } from '../src/progress.js';

describe('formatBytes', () => {
  it.each([
    [0, '0 bytes'],
    [999, '999 bytes'],
    [1000, '1.00 kB'],
    [1234, '1.23 kB'],
    [12_345, '12.3 kB'],
    [123_456, '123 kB'],
    [999_499, '999 kB'],
    [999_500, '1.00 MB'],
    [718e6, '718 MB'],
    [1.84e9, '1.84 GB'],
    [2e12, '2.00 TB'],
  ])('%d is %s', (bytes, expected) => {
    expect(formatBytes(bytes)).toBe(expected);
  });

  it('keeps at most three digits and is never more than half a unit of the last one off', () => {
    const factors: Record<string, number> = { bytes: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 9e14 }), (bytes) => {
        const [number = '', unit = ''] = formatBytes(bytes).split(' ');
        expect(number.replace('.', '').length).toBeLessThanOrEqual(3);
        expect(Math.abs(Number(number) * (factors[unit] ?? Number.NaN) - bytes)).toBeLessThanOrEqual(bytes * 0.0051);
      }),
    );
  });
});

describe('formatDuration', () => {
  it.each([
    [0, '00:00:00'],
    [-5, '00:00:00'],
    [59.4, '00:00:59'],
    [59.6, '00:01:00'],
    [3661, '01:01:01'],
    [86_399, '23:59:59'],
    [86_400, '1-00:00:00'],
    [1_000_000, '11-13:46:40'],
  ])('%d seconds are %s', (seconds, expected) => {
    expect(formatDuration(seconds)).toBe(expected);
  });
});

describe('withStep', () => {
  const record = () => {
    const said: string[] = [];
    const note = (text: string) => void said.push(text);
    const progress: Progress = {
      step: (title) => {
        note(`step ${title}`);
        return {
          update: (detail) => {
            note(`update ${detail}`);
          },
          output: (line) => {
            note(`output ${line}`);
          },
          succeed: (summary) => {
            note(`succeed ${summary}`);
          },
          fail: () => {
            note('fail');
          },
        };
      },
      note,
      warn: note,
    };
    return { said, progress };
  };

  it('ends well with a summary of the result', async () => {
    const { said, progress } = record();
    const work = (step: { update(detail: string): void }) => {
      step.update('half');
      return Promise.resolve(7);
    };
    expect(await withStep(progress, 'Counting', work, (result) => `counted to ${result}`)).toBe(7);
    expect(said).toEqual(['step Counting', 'update half', 'succeed counted to 7']);
  });

  it('fails when the work fails, and passes its error on', async () => {
    const { said, progress } = record();
    const failing = withStep(
      progress,
      'Counting',
      () => Promise.reject(new Error('lost count')),
      () => 'done',
    );
    await expect(failing).rejects.toThrow('lost count');
    expect(said).toEqual(['step Counting', 'fail']);
  });
});
