import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { jobComment, parseQuery, renderQuery, type QueriedRun } from '../../src/slurm/query.js';
import { findProgram, runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

const a = '20261122-081530-k3f9';
const b = '20261122-091530-b2c4';

const run = (changes: Partial<QueriedRun>): QueriedRun => ({
  runId: a,
  jobId: '41',
  state: 'UNKNOWN',
  exitCode: undefined,
  reason: undefined,
  elapsedSeconds: undefined,
  nodes: undefined,
  startTime: undefined,
  ...changes,
});

// Lines as the script prints them; times are seconds (SLURM_TIME_FORMAT=%s).
const receipt = `run|${a}|41|1000|`;
const ended = `run|${a}|41|1000|7`;
const squeue = (state: string, reason = 'None', nodes = '', comment = jobComment(a)) =>
  `squeue|41|${state}|${reason}|1100|1:05|${nodes}|${comment}`;
const sacct = (state: string, exitCode: string, submit = 1001) =>
  `sacct|41|${state}|${exitCode}|${submit}|1100|65|node01|None`;

describe('parseQuery', () => {
  it.each<[string, string[], Partial<QueriedRun>]>([
    [
      'a waiting job',
      [receipt, `squeue|41|PENDING|Priority|N/A|0:00||${jobComment(a)}`],
      { state: 'PENDING', reason: 'Priority', elapsedSeconds: 0 },
    ],
    [
      'a waiting job with an expected start',
      [receipt, squeue('PENDING', 'Resources')],
      { state: 'PENDING', reason: 'Resources', elapsedSeconds: 65, startTime: 1100 },
    ],
    [
      'a running job, which accounting knows as well',
      [receipt, squeue('RUNNING', 'None', 'node01'), sacct('RUNNING', '0:0')],
      { state: 'RUNNING', elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a job that ended well',
      [`run|${a}|41|1000|0`, sacct('COMPLETED', '0:0')],
      { state: 'COMPLETED', exitCode: 0, elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a job that failed',
      [ended, squeue('FAILED', 'NonZeroExitCode', 'node01'), sacct('FAILED', '7:0')],
      { state: 'FAILED', exitCode: 7, elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a job that a signal ended',
      [receipt, sacct('FAILED', '0:9')],
      { state: 'FAILED', exitCode: 137, elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a job whose program ended with 255, of which sacct says 127',
      [`run|${a}|41|1000|255`, sacct('FAILED', '127:0')],
      { state: 'FAILED', exitCode: 255, elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a cancelled job',
      [receipt, 'sacct|41|CANCELLED by 1500|0:15|1001|1100|65|node01|None'],
      { state: 'CANCELLED', exitCode: 143, elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a job whose id a live job of another run has by now',
      [ended.replace('|7', '|0'), squeue('RUNNING', 'None', 'n1', jobComment(b))],
      { state: 'COMPLETED', exitCode: 0 },
    ],
    [
      'a job whose id an ended job of another run has by now',
      [ended, `${sacct('COMPLETED', '0:0', 9000)}|${jobComment(b)}`],
      { state: 'FAILED', exitCode: 7 },
    ],
    [
      'a job with a comment that the site has added to',
      [receipt, `${sacct('COMPLETED', '0:0')}|site note, ${jobComment(a)}`],
      { state: 'COMPLETED', exitCode: 0, elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a job that its time limit ended, of which SLURM says 0:0',
      [receipt, sacct('TIMEOUT', '0:0')],
      { state: 'TIMEOUT', exitCode: undefined, elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a requeued job that waits again',
      [receipt, squeue('PENDING', 'BeginTime'), sacct('REQUEUED', '0:0'), sacct('PENDING', '0:0', 1200)],
      { state: 'PENDING', reason: 'BeginTime', elapsedSeconds: 65, startTime: 1100 },
    ],
    [
      'a requeued job by its last attempt',
      [receipt, sacct('NODE_FAIL', '1:0'), sacct('COMPLETED', '0:0', 1200)],
      { state: 'COMPLETED', exitCode: 0, elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a job whose id an older one of another cluster life had',
      [receipt, sacct('FAILED', '1:0', 10)],
      { state: 'UNKNOWN' },
    ],
    [
      'a job after an older one with its id',
      [receipt, sacct('FAILED', '1:0', 10), sacct('COMPLETED', '0:0')],
      { state: 'COMPLETED', exitCode: 0, elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a job that was accounted for a little before the receipt was written',
      [receipt, sacct('COMPLETED', '0:0', 990)],
      { state: 'COMPLETED', exitCode: 0, elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    ['without accounting, by its own sentinel: failed', [ended], { state: 'FAILED', exitCode: 7 }],
    ['without accounting, by its own sentinel: well', [`run|${a}|41|1000|0`], { state: 'COMPLETED', exitCode: 0 }],
    [
      'without accounting, by what squeue still remembers',
      [receipt, squeue('COMPLETED', 'None', 'node01')],
      { state: 'COMPLETED', exitCode: 0, elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'without accounting, by squeue and sentinel',
      [ended, squeue('FAILED', 'NonZeroExitCode', 'node01')],
      { state: 'FAILED', exitCode: 7, reason: 'NonZeroExitCode', elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    ['a job nobody knows any more', [receipt], { state: 'UNKNOWN' }],
    ['a run without a job', [`run|${a}|||`], { state: 'NOT_SUBMITTED', jobId: undefined }],
    [
      'a run without a receipt, by its comment',
      [`run|${a}|||`, `squeue|40|RUNNING|None|1|0:01|n|${jobComment(b)}`, squeue('RUNNING', 'None', 'node01')],
      { state: 'RUNNING', elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a run without a receipt among jobs of others',
      [`run|${a}|||`, squeue('RUNNING', 'None', 'node01', 'a|b')],
      { state: 'NOT_SUBMITTED', jobId: undefined },
    ],
    [
      'a job among lines that mean nothing',
      ['slurm_load_jobs warning', '', receipt, 'x|y|z', squeue('RUNNING', 'None', 'node01')],
      { state: 'RUNNING', elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
  ])('knows %s', (_, lines, expected) => {
    expect(parseQuery(`${lines.join('\n')}\n`)).toEqual({ runs: [run(expected)], isComplete: true });
  });

  it('says that squeue failed', () => {
    expect(parseQuery(`${receipt}\nfailed|squeue\n`)).toEqual({ runs: [run({})], isComplete: false });
  });

  it('tells runs apart and keeps their order', () => {
    const { runs } = parseQuery(
      [
        receipt,
        `run|${b}|42|1000|`,
        `squeue|42|RUNNING|None|1|0:01|n2|${jobComment(b)}`,
        squeue('PENDING', 'Priority'),
      ].join('\n'),
    );
    expect(runs.map(({ runId, jobId, state }) => [runId, jobId, state])).toEqual([
      [a, '41', 'PENDING'],
      [b, '42', 'RUNNING'],
    ]);
  });

  it('finds nothing in nothing', () => {
    expect(parseQuery('')).toEqual({ runs: [], isComplete: true });
  });
});

describe('renderQuery', () => {
  const makeRuns = async () => {
    const directory = join(await makeTemporaryDirectory(), "ada's runs");
    await writeTree(directory, {
      [`${a}/state/receipt`]: '41;claix 1000\n',
      [`${a}/state/exit`]: '7\n',
      [`${b}/run.json`]: '',
      '.new-x/run.json': '',
    });
    return directory;
  };

  it.each(['/bin/sh', 'bash'])('reads receipts and sentinels under %s, without SLURM', async (shell) => {
    if (findProgram('squeue') !== undefined) throw new Error('this test is for machines without SLURM');
    const directory = await makeRuns();
    const result = parseQuery(runShell(shell, `set -u\n${renderQuery(directory, undefined)}`).stdout);
    expect(result.isComplete).toBe(false);
    expect(result.runs).toEqual([
      run({ state: 'FAILED', exitCode: 7 }),
      run({ runId: b, jobId: undefined, state: 'NOT_SUBMITTED' }),
    ]);
  });

  it('asks for the runs it is given, as far as they are there', async () => {
    const { stdout } = runShell('/bin/sh', renderQuery(await makeRuns(), [b, 'gone', '*']));
    expect(parseQuery(stdout).runs.map(({ runId }) => runId)).toEqual([b]);
  });

  it('finds no run where there are none', async () => {
    const directory = await makeTemporaryDirectory();
    for (const place of [directory, join(directory, 'missing')]) {
      const { stdout, status } = runShell('/bin/sh', renderQuery(place, undefined));
      expect(parseQuery(stdout).runs).toEqual([]);
      expect(status).toBe(0);
    }
  });
});
