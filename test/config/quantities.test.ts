import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseGpus, parseMemory, parseTime } from '../../src/config/quantities.js';

describe('parseMemory', () => {
  it.each([
    ['32G', '32G'],
    ['32GB', '32G'],
    ['32 GiB', '32G'],
    ['32g', '32G'],
    ['  8 gb ', '8G'],
    ['32000M', '32000M'],
    ['32000', '32000M'],
    ['512k', '512K'],
    ['2T', '2T'],
    ['100B', '100M'],
  ])('%j is %j', (text, expected) => {
    expect(parseMemory(text)).toBe(expected);
  });

  it.each(['', '0', '0G', '1.5G', '-1G', 'G', '32 X', '32G\n--exclusive', '32GG', '1e3', 'all', '32G 1'])(
    '%j is refused',
    (text) => {
      expect(parseMemory(text)).toBeUndefined();
    },
  );
});

describe('parseTime', () => {
  it.each([
    ['2h', 7200],
    ['1h30m', 5400],
    ['1h 30min', 5400],
    ['1d', 86_400],
    ['1d2h3m4s', 93_784],
    ['90m', 5400],
    ['45s', 45],
    ['2H', 7200],
    [' 2h ', 7200],
    // sbatch man page, --time
    ['30', 1800],
    ['1:30', 90],
    ['1:02:03', 3723],
    ['1-2', 93_600],
    ['1-2:30', 95_400],
    ['1-2:30:15', 95_415],
    ['0-0:01', 60],
  ])('%j is %d seconds', (text, seconds) => {
    expect(parseTime(text)).toBe(seconds);
  });

  it.each(['', '0', '0h', '0:00', '0-0', 'soon', '2x', '-5', '1.5h', '1:2:3:4', '1h1d', '2h --exclusive', 'h', '1-'])(
    '%j is refused',
    (text) => {
      expect(parseTime(text)).toBeUndefined();
    },
  );

  it('reads a clock of any length as the sum of its parts', () => {
    const part = fc.nat(99);
    fc.assert(
      fc.property(part, part, part, fc.integer({ min: 1, max: 99 }), (days, hours, minutes, seconds) => {
        const expected = days * 86_400 + hours * 3600 + minutes * 60 + seconds;
        expect(parseTime(`${days}-${hours}:${minutes}:${seconds}`)).toBe(expected);
        expect(parseTime(`${days}d ${hours}h ${minutes}m ${seconds}s`)).toBe(expected);
      }),
    );
  });
});

describe('parseGpus', () => {
  it.each([
    ['1', { count: 1 }],
    ['0', { count: 0 }],
    [' 4 ', { count: 4 }],
    ['h100:2', { type: 'h100', count: 2 }],
    ['nvidia_a100-sxm4.40gb:1', { type: 'nvidia_a100-sxm4.40gb', count: 1 }],
  ])('%j is %j', (text, expected) => {
    expect(parseGpus(text)).toEqual(expected);
  });

  it.each(['', 'h100', ':2', 'h100:', '2:h100', '-1', '1.5', 'a b:1', 'a:b:1', '1,2', 'h100:2\nx'])(
    '%j is refused',
    (text) => {
      expect(parseGpus(text)).toBeUndefined();
    },
  );
});
