import { describe, expect, it } from 'vitest';
import { pickRun } from '../../src/run/find-run.js';
import { failureOf } from '../support/failure.js';
import { runRecord } from '../support/run-record.js';

const records = [
  runRecord({ runId: '20261121-100000-aaaa', name: 'train', jobId: '40' }),
  runRecord({ runId: '20261122-100000-bbbb', name: 'eval', jobId: '41' }),
  runRecord({ runId: '20261122-110000-cccc', name: 'train', jobId: null }),
  runRecord({ runId: '20261123-120000-dddd', name: '20261121', jobId: '40' }),
];
const pick = (wanted: string) => pickRun(records, wanted)?.runId.slice(-4);

describe('pickRun', () => {
  it.each([
    ['@last', 'dddd'],
    ['20261122-100000-bbbb', 'bbbb'],
    ['20261122-10', 'bbbb'],
    ['20261123', 'dddd'],
    ['cccc', 'cccc'],
    ['100000-bbbb', 'bbbb'],
    ['41', 'bbbb'],
    // A job id that was given twice, and a name that several runs have: the latest.
    ['40', 'dddd'],
    ['train', 'cccc'],
    ['eval', 'bbbb'],
    // A name before the beginning of an id.
    ['20261121', 'dddd'],
  ])('%s is %s', (wanted, expected) => {
    expect(pick(wanted)).toBe(expected);
  });

  it.each(['', 'trai', '4', '999', 'ccc', '@first', 'TRAIN'])('%j is none of them', (wanted) => {
    expect(pick(wanted)).toBeUndefined();
  });

  it('finds nothing in nothing', () => {
    expect(pickRun([], '@last')).toBeUndefined();
    expect(pickRun([], '2026')).toBeUndefined();
  });

  it('refuses a beginning that several ids have, and names them', async () => {
    const error = await failureOf(() => pick('20261122'));
    expect(error.code).toBe('RUN_AMBIGUOUS');
    expect(error.message).toContain('20261122-100000-bbbb, 20261122-110000-cccc');
    expect(error.message).not.toContain('dddd');
  });
});
