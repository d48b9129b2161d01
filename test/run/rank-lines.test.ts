import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRank, RankLines } from '../../src/run/rank-lines.js';
import { failureOf } from '../support/failure.js';
import { runRecord } from '../support/run-record.js';

const mpi = runRecord({ template: 'mpi', resources: { tasks: 12 } });
const torchrun = runRecord({ template: 'torchrun', resources: { nodes: 2, tasksPerNode: 2 } });

const log = Buffer.from(
  [
    '00: a',
    '01: b ü',
    '10: c',
    '1: no',
    '01: 00: d',
    '11: e',
    'srun: error: c1: task 0: Exited',
    '0: f',
    ' 1: g',
    '01: end',
  ].join('\n'),
);

const of = (rank: number, record = mpi, text = log) => {
  const lines = new RankLines(rank, record);
  return `${lines.push(text).toString()}${lines.end().toString()}`;
};

describe('RankLines', () => {
  it('has the lines of one rank', () => {
    expect(of(0)).toBe('a\nf\n');
    expect(of(1)).toBe('b ü\nno\n00: d\ng\nend');
    expect(of(10)).toBe('c\n');
    expect(of(2)).toBe('');
  });

  it('knows the processes of a node', () => {
    const text = Buffer.from('0: [default0]:a\n0: [default1]:b\n1: [default0]:c\n1: [default1]:d\n1: agent\n');
    expect([0, 1, 2, 3, 4].map((rank) => of(rank, torchrun, text))).toEqual(['a\n', 'b\n', 'c\n', 'd\n', '']);
  });

  it('reads the same however the output is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(log.length)), (cuts) => {
        const lines = new RankLines(1, mpi);
        const places = [0, ...cuts.sort((a, b) => a - b), log.length];
        const pieces = places.slice(1).map((end, index) => lines.push(log.subarray(places[index], end)));
        expect(Buffer.concat([...pieces, lines.end()]).toString()).toBe(of(1));
      }),
    );
  });
});

describe('--rank', () => {
  it('is a number, of a run with ranks', async () => {
    expect(parseRank('11', mpi)).toBe(11);
    for (const [text, record] of [
      ['x', mpi],
      ['-1', mpi],
      ['0', runRecord()],
    ] as const) {
      expect((await failureOf(() => parseRank(text, record))).code).toBe('USAGE');
    }
  });
});
