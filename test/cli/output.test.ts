import { describe, expect, it } from 'vitest';
import { describeRun, renderRunTable, renderTable, runObject } from '../../src/cli/output.js';
import type { RunStatus } from '../../src/run/status.js';
import { runRecord } from '../support/run-record.js';

const run = (changes: Partial<RunStatus> = {}): RunStatus => {
  const record = changes.record ?? runRecord();
  return {
    runId: record.runId,
    jobId: '41',
    state: 'RUNNING',
    exitCode: undefined,
    reason: undefined,
    elapsedSeconds: 65,
    nodes: 'node01',
    startTime: 1_700_000_000,
    record,
    ...changes,
  };
};

describe('renderTable', () => {
  it('makes columns as wide as their widest cell, without blanks at the ends of lines', () => {
    expect(
      renderTable(
        ['A', 'LONGER', 'B'],
        [
          ['1', 'x', ''],
          ['22222', 'y', 'zz'],
        ],
      ).split('\n'),
    ).toEqual(['A      LONGER  B', '1      x', '22222  y       zz']);
  });

  it('keeps cells on their line and out of control of the terminal', () => {
    expect(renderTable(['A', 'B'], [['two\nlines', '\u001b[31mred']]).split('\n')).toEqual([
      'A           B',
      'two\\nlines  \\x1b[31mred',
    ]);
  });

  it('shows its head when there is nothing else', () => {
    expect(renderTable(['A', 'B'], [])).toBe('A  B');
  });
});

describe('renderRunTable', () => {
  it('shows each run in a line', () => {
    const table = renderRunTable([
      run(),
      run({ state: 'PENDING', reason: 'Priority', nodes: undefined, elapsedSeconds: undefined }),
      run({ state: 'FAILED', exitCode: 7 }),
      run({ state: 'COMPLETED', exitCode: 0 }),
      run({ state: 'NOT_SUBMITTED', jobId: undefined, nodes: undefined, elapsedSeconds: undefined }),
    ]);
    expect(table.split('\n')).toEqual([
      'RUN                   JOB  NAME   STATE          ELAPSED   NODE OR REASON',
      '20261122-081530-k3f9  41   train  RUNNING        00:01:05  node01',
      '20261122-081530-k3f9  41   train  PENDING        -         Priority: jobs with a higher priority go first',
      '20261122-081530-k3f9  41   train  FAILED (7)     00:01:05  node01',
      '20261122-081530-k3f9  41   train  COMPLETED      00:01:05  node01',
      '20261122-081530-k3f9  -    train  NOT_SUBMITTED  -         its submission was broken off before there was a job',
    ]);
  });
});

describe('runObject', () => {
  it('has the same keys for every run, null for what is not known', () => {
    const known = runObject(run({ state: 'FAILED', exitCode: 7, reason: 'NonZeroExitCode' }));
    expect(known).toEqual({
      type: 'run',
      runId: '20261122-081530-k3f9',
      jobId: '41',
      name: 'train',
      state: 'FAILED',
      exitCode: 7,
      reason: 'NonZeroExitCode',
      elapsedSeconds: 65,
      cluster: 'claix',
      nodes: 'node01',
      startTime: '2023-11-14T22:13:20.000Z',
      restarts: 0,
    });
    const nothing = { jobId: undefined, nodes: undefined, elapsedSeconds: undefined, startTime: undefined };
    const unknown = runObject(run(nothing));
    expect(Object.keys(unknown)).toEqual(Object.keys(known));
    expect(unknown).toMatchObject({ jobId: null, exitCode: null, reason: null, elapsedSeconds: null, startTime: null });
  });
});

describe('describeRun', () => {
  it.each<[Partial<RunStatus>, string]>([
    [{}, 'Run 20261122-081530-k3f9, job 41: RUNNING after 00:01:05'],
    [{ state: 'COMPLETED', exitCode: 0 }, 'Run 20261122-081530-k3f9, job 41: COMPLETED, exit status 0 after 00:01:05'],
    [
      { state: 'FAILED', exitCode: 7, reason: 'NonZeroExitCode' },
      'Run 20261122-081530-k3f9, job 41: FAILED (NonZeroExitCode), exit status 7 after 00:01:05',
    ],
    [
      { state: 'NOT_SUBMITTED', jobId: undefined, elapsedSeconds: undefined },
      'Run 20261122-081530-k3f9, job -: NOT_SUBMITTED (its submission was broken off before there was a job)',
    ],
  ])('%j', (changes, expected) => {
    expect(describeRun(run(changes))).toBe(expected);
  });
});
