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
const ran = (status: string | number = '', runId = a, jobId = 41) => `run|${runId}|${status}|\njob|${jobId}|1000|`;
const receipt = ran();
const ended = ran(7);
const squeue = (state: string, reason = 'None', nodes = '', comment = jobComment(a)) =>
  `squeue|41|${state}|${reason}|1100|1:05|${nodes}|${comment}`;
const sacct = (state: string, exitCode: string, submit = 1001) =>
  `sacct|41|${state}|${exitCode}|${submit}|1100|65|node01|None`;

describe('parseQuery', () => {
  const job = (jobId: number, state: string, exitCode = '0:0') =>
    `sacct|${jobId}|${state}|${exitCode}|1001|1100|65|node01|None|${jobComment(a)}`;
  const waits = (jobId: number) => `squeue|${jobId}|PENDING|Dependency|N/A|0:00||${jobComment(a)}`;
  const chain = (status: string, restarts: string) => [
    `run|${a}|${status}||${restarts}`,
    ...[41, 42, 43].map((jobId) => `job|${jobId}|1000|`),
  ];
  it.each<[string, string, string[], Partial<QueriedRun>]>([
    ['while it waited', '', [], { state: 'CANCELLED' }],
    ['while it ran', '143', [], { state: 'CANCELLED', exitCode: 143 }],
    ['too late', '0', [], { state: 'COMPLETED', exitCode: 0 }],
    ['and accounting says how it ended', '3', [sacct('FAILED', '3:0')], { state: 'FAILED', exitCode: 3 }],
    ['and it is still ending', '', [squeue('COMPLETING')], { state: 'COMPLETING' }],
  ])('a run that was cancelled where SLURM has forgotten it, %s', (_, status, lines, expected) => {
    const output = [`run|${a}|${status}||||cancelled`, 'job|41|1000|', ...lines].join('\n');
    expect(parseQuery(output).runs).toMatchObject([expected]);
  });

  it.each<[string, string[], Partial<QueriedRun>]>([
    [
      'that has ended in its second link, the third being cancelled by it',
      [...chain('0', '1|42'), job(41, 'COMPLETED'), job(42, 'COMPLETED'), job(43, 'CANCELLED by 1500')],
      { state: 'COMPLETED', exitCode: 0, restarts: 1 },
    ],
    [
      'that has ended in its second link, the third being still there',
      [...chain('3', '1|42'), waits(43), job(41, 'COMPLETED'), job(42, 'FAILED', '3:0'), job(43, 'PENDING')],
      { state: 'FAILED', exitCode: 3, restarts: 1 },
    ],
    [
      'that has ended where there is no accounting',
      [...chain('3', '1|42'), waits(43)],
      { state: 'FAILED', exitCode: 3, restarts: 1 },
    ],
    [
      'between two links',
      [...chain('', '0|41'), waits(42), waits(43), job(41, 'COMPLETED')],
      { state: 'PENDING', exitCode: undefined, reason: 'Dependency', restarts: 0 },
    ],
    [
      'that somebody has cancelled',
      [...chain('', '0|41'), job(41, 'CANCELLED by 1500'), job(42, 'CANCELLED by 1500'), job(43, 'CANCELLED by 1500')],
      { state: 'CANCELLED', restarts: 0 },
    ],
  ])('knows how a chain stands %s', (_, lines, expected) => {
    expect(parseQuery(lines.join('\n')).runs).toMatchObject([
      { runId: a, jobId: '41', otherJobIds: ['42', '43'], ...expected },
    ]);
  });

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
      [ran(0), sacct('COMPLETED', '0:0')],
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
      [ran(255), sacct('FAILED', '127:0')],
      { state: 'FAILED', exitCode: 255, elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a cancelled job',
      [receipt, 'sacct|41|CANCELLED by 1500|0:15|1001|1100|65|node01|None'],
      { state: 'CANCELLED', exitCode: 143, elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a job whose id a live job of another run has by now',
      [ran(0), squeue('RUNNING', 'None', 'n1', jobComment(b))],
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
    ['without accounting, by its own sentinel: well', [ran(0)], { state: 'COMPLETED', exitCode: 0 }],
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
    ['a run without a job', [`run|${a}||`], { state: 'NOT_SUBMITTED', jobId: undefined }],
    [
      'a run without a receipt, by its comment',
      [`run|${a}||`, `squeue|40|RUNNING|None|1|0:01|n|${jobComment(b)}`, squeue('RUNNING', 'None', 'node01')],
      { state: 'RUNNING', elapsedSeconds: 65, nodes: 'node01', startTime: 1100 },
    ],
    [
      'a run without a receipt among jobs of others',
      [`run|${a}||`, squeue('RUNNING', 'None', 'node01', 'a|b')],
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
        ran('', b, 42),
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

describe('parseQuery of a sweep', () => {
  const sweep = (lines: string[], { count = 4, receipts = ['job|41|1000|0-3'] } = {}) => {
    const { runs } = parseQuery([`run|${a}||${count}`, ...receipts, ...lines].join('\n'));
    const [only] = runs;
    if (!only) throw new Error('no run');
    return only;
  };
  const statesOf = ({ tasks = [] }: QueriedRun) => tasks.map(({ state }) => state);
  const queued = (id: string, state: string, comment = jobComment(a)) =>
    `squeue|${id}|${state}|None|1100|1:05|n1|${comment}`;
  const accounted = (id: string, state: string, code = '0:0') =>
    `sacct|${id}|${state}|${code}|1001|1100|65|n1|None|${jobComment(a, { first: 0, last: 3 })}`;

  it('takes waiting tasks from one line, and the others from theirs', () => {
    const run = sweep([queued('41_[2-3%1]', 'PENDING'), queued('41_1', 'RUNNING'), accounted('41_0', 'COMPLETED')]);
    expect(statesOf(run)).toEqual(['COMPLETED', 'RUNNING', 'PENDING', 'PENDING']);
    expect(run.tasks?.map(({ index, jobId }) => [index, jobId])).toEqual([
      [0, '41_0'],
      [1, '41_1'],
      [2, '41_2'],
      [3, '41_3'],
    ]);
    expect(run).toMatchObject({ state: 'RUNNING', jobId: '41', nodes: 'n1' });
  });

  it('knows tasks by their sentinels where accounting is off', () => {
    const run = sweep(['0/state/exit:0', '2/state/exit:7', queued('41_3', 'RUNNING')]);
    expect(statesOf(run)).toEqual(['COMPLETED', 'UNKNOWN', 'FAILED', 'RUNNING']);
    expect(run.tasks?.[2]?.exitCode).toBe(7);
  });

  it('takes a requeued task by its last start', () => {
    const run = sweep([accounted('41_0', 'NODE_FAIL', '1:0'), accounted('41_0', 'COMPLETED')]);
    expect(statesOf(run)).toEqual(['COMPLETED', 'UNKNOWN', 'UNKNOWN', 'UNKNOWN']);
  });

  it('counts on through several arrays, and knows what SLURM has not taken', () => {
    const run = sweep(
      [accounted('41_0', 'COMPLETED'), accounted('41_1', 'COMPLETED'), accounted('44_0', 'FAILED', '3:0')],
      {
        receipts: ['job|41|1000|0-1', 'job|44|1000|2-2'],
      },
    );
    expect(statesOf(run)).toEqual(['COMPLETED', 'COMPLETED', 'FAILED', 'NOT_SUBMITTED']);
    expect(run.tasks?.[2]?.jobId).toBe('44_0');
    expect(run).toMatchObject({ state: 'PENDING', reason: 'SubmitLimit', jobId: '41', otherJobIds: ['44'] });
  });

  it('finds an array whose receipt was not written, with its place in the sweep', () => {
    const comment = jobComment(a, { first: 2, last: 3 });
    const run = sweep([queued('44_[0-1]', 'PENDING', comment)], { receipts: ['job|41|1000|0-1'] });
    expect(statesOf(run)).toEqual(['UNKNOWN', 'UNKNOWN', 'PENDING', 'PENDING']);
    expect(run.otherJobIds).toEqual(['44']);
  });

  it("passes over another run's tasks under a reused id", () => {
    const run = sweep([queued('41_[0-3]', 'RUNNING', jobComment(b)), '0/state/exit:0']);
    expect(statesOf(run)).toEqual(['COMPLETED', 'UNKNOWN', 'UNKNOWN', 'UNKNOWN']);
  });

  it.each<[string, string[], Partial<QueriedRun>]>([
    ['all well', [accounted('41_[0-3]', 'COMPLETED')], { state: 'COMPLETED', exitCode: 0 }],
    [
      'one failed',
      [accounted('41_[0-2]', 'COMPLETED'), accounted('41_3', 'FAILED', '7:0')],
      { state: 'FAILED', exitCode: 7 },
    ],
    [
      'some failed in different ways',
      [accounted('41_[0-1]', 'TIMEOUT'), accounted('41_[2-3]', 'FAILED', '7:0')],
      { state: 'FAILED', exitCode: 1 },
    ],
    ['all cancelled', [accounted('41_[0-3]', 'CANCELLED by 1500')], { state: 'CANCELLED' }],
    ['nothing submitted', [], { state: 'UNKNOWN' }],
  ])('sums up: %s', (_, lines, expected) => {
    expect(sweep(lines)).toMatchObject(expected);
  });
});

describe('parseQuery of a chain', () => {
  const chain = (lines: string[]) =>
    parseQuery([`run|${a}||`, 'job|41|1000|', 'job|42|1100|', ...lines].join('\n')).runs[0];

  it.each<[string, string[], string]>([
    ['the link that runs', [squeue('COMPLETED'), squeue('RUNNING').replace('|41|', '|42|')], 'RUNNING'],
    ['the link that waits', [sacct('TIMEOUT', '0:0'), squeue('PENDING').replace('|41|', '|42|')], 'PENDING'],
    [
      'the last that has ended',
      [sacct('TIMEOUT', '0:0'), sacct('COMPLETED', '0:0').replace('|41|', '|42|')],
      'COMPLETED',
    ],
  ])('is in the state of %s', (_, lines, state) => {
    expect(chain(lines)).toMatchObject({ state, jobId: '41', otherJobIds: ['42'] });
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

  it('reads several jobs and the exit statuses of tasks', async () => {
    const directory = await makeTemporaryDirectory();
    await writeTree(directory, {
      [`${a}/state/receipt`]: '41;claix 1000 0-1\n44 1100 2-2\n',
      [`${a}/state/tasks`]: '3\n',
      [`${a}/tasks/0/state/exit`]: '0\n',
      [`${a}/tasks/2/state/exit`]: '7\n',
      [`${b}/state/tasks`]: '2\n',
    });
    const { runs } = parseQuery(runShell('/bin/sh', `set -u\n${renderQuery(directory, undefined)}`).stdout);
    expect(runs[0]).toMatchObject({ jobId: '41', otherJobIds: ['44'] });
    expect(runs.map(({ tasks = [] }) => tasks.map(({ state, exitCode }) => [state, exitCode]))).toEqual([
      [
        ['COMPLETED', 0],
        ['UNKNOWN', undefined],
        ['FAILED', 7],
      ],
      [
        ['NOT_SUBMITTED', undefined],
        ['NOT_SUBMITTED', undefined],
      ],
    ]);
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
