import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countTasks, parseJobIds, type TaskState } from '../../src/slurm/array-tasks.js';

describe('parseJobIds', () => {
  it.each<[string, string, number[] | undefined]>([
    ['12', '12', undefined],
    ['12_3', '12', [3]],
    ['12_[3-5%4]', '12', [3, 4, 5]],
    ['12_[3]', '12', [3]],
    ['12_[0,4-6,9%1]', '12', [0, 4, 5, 6, 9]],
    ['12_[0-8:4]', '12', [0, 4, 8]],
  ])('reads %s', (text, jobId, tasks) => {
    expect(parseJobIds(text)).toEqual({ jobId, tasks });
  });

  it.each(['', '12+0', '12.batch', '12_', '12_[1-3,...]', '12_[3-', '12_[0-9999999999]', '12_[0-8:0]', 'x'])(
    'passes over %s',
    (text) => {
      expect(parseJobIds(text)).toBeUndefined();
    },
  );

  it('reads back every list of ranges', () => {
    const ranges = fc.array(fc.tuple(fc.nat(500), fc.nat(20)), { minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(ranges, (pairs) => {
        const text = pairs.map(([first, more]) => (more === 0 ? `${first}` : `${first}-${first + more}`)).join(',');
        const expected = pairs.flatMap(([first, more]) =>
          Array.from({ length: more + 1 }, (_, index) => first + index),
        );
        expect(parseJobIds(`7_[${text}%2]`)).toEqual({ jobId: '7', tasks: expected });
      }),
    );
  });
});

describe('countTasks', () => {
  it('counts those that completed, failed and run', () => {
    const states = ['COMPLETED', 'FAILED', 'TIMEOUT', 'RUNNING', 'COMPLETING', 'PENDING', 'NOT_SUBMITTED', 'UNKNOWN'];
    const tasks = states.map((state, index) => ({ state, index }) as TaskState);
    expect(countTasks(tasks)).toEqual({ total: 8, done: 1, failed: 2, running: 2 });
  });
});
