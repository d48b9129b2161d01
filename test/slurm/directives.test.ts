import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderDirectives, renderTime, type JobHead, type ResourceRequest } from '../../src/slurm/directives.js';
import { judgeRequest } from '../../src/slurm/rules.js';
import { failureOf } from '../support/failure.js';

const head = (resources: ResourceRequest, changes: Partial<JobHead> = {}): JobHead => ({
  name: 'digits',
  comment: 'hpcrun:20261122-081530-k3f9',
  logPath: '/scratch/ada/hpcrun/runs/r/logs/job.log',
  workingDirectory: '/scratch/ada/hpcrun/runs/r/work',
  resources,
  ...changes,
});

const always = [
  '--job-name=digits',
  '--comment=hpcrun:20261122-081530-k3f9',
  '--output=/scratch/ada/hpcrun/runs/r/logs/job.log',
  '--open-mode=append',
  '--chdir=/scratch/ada/hpcrun/runs/r/work',
  '--nodes=1',
  '--ntasks=1',
];

describe('renderDirectives', () => {
  it.each<[ResourceRequest, string[]]>([
    [{}, []],
    [{ cpus: 8 }, ['--cpus-per-task=8']],
    [{ memory: '32G' }, ['--mem=32G']],
    [{ time: 5400 }, ['--time=0-01:30:00']],
    [{ gpus: { count: 2 } }, ['--gres=gpu:2']],
    [{ gpus: { type: 'h100', count: 1 } }, ['--gres=gpu:h100:1']],
    [{ gpus: { count: 0 } }, []],
    [
      { partition: 'c23g', account: 'thes1234', cpus: 24, memory: '100G', time: 86_400, gpus: { count: 4 } },
      [
        '--cpus-per-task=24',
        '--mem=100G',
        '--time=1-00:00:00',
        '--gres=gpu:4',
        '--partition=c23g',
        '--account=thes1234',
      ],
    ],
    [
      { qos: 'long', constraint: '(a100|h100)&ib', reservation: 'course', exclude: 'n1,n[4-7]', nodelist: 'n2' },
      ['--qos=long', '--constraint=(a100|h100)&ib', '--reservation=course', '--exclude=n1,n[4-7]', '--nodelist=n2'],
    ],
    [
      { dependency: 'afterok:4711', begin: 'now+2hours', mailType: 'END,FAIL', mailUser: 'ada@example.org' },
      ['--dependency=afterok:4711', '--begin=now+2hours', '--mail-type=END,FAIL', '--mail-user=ada@example.org'],
    ],
    [
      { sbatchArgs: [{ name: 'exclusive' }, { name: 'licenses', value: 'matlab:1' }] },
      ['--exclusive', '--licenses=matlab:1'],
    ],
    [
      {
        sbatchArgs: [
          { name: 'gres', value: 'lscratch:100' },
          { name: 'gres', value: 'license:1' },
        ],
      },
      ['--gres=lscratch:100,license:1'],
    ],
    [{ gpus: { count: 2 }, sbatchArgs: [{ name: 'gres', value: 'lscratch:100' }] }, ['--gres=gpu:2,lscratch:100']],
  ])('%j', (resources, expected) => {
    expect(renderDirectives(head(resources))).toEqual([...always, ...expected]);
  });

  it('loses no GPU and no wish of the user to what a site adds', () => {
    const rules = { directives: { gres: 'lustre:1', 'cpus-per-task': '8', time: '1:00' } };
    expect(renderDirectives(head({ gpus: { count: 2 }, cpus: 16 }), rules)).toEqual([
      ...always,
      '--cpus-per-task=16',
      '--gres=gpu:2,lustre:1',
      '--time=1:00',
    ]);
  });

  it("lets none of the site's options change what hpcrun needs of a job", () => {
    expect(renderDirectives(head({}), { directives: { nodes: '2', exclusive: 'user' } })).toEqual([
      ...always,
      '--exclusive=user',
    ]);
  });

  it('refuses GPUs that could not be asked for', () => {
    const refused = { forbidden: ['gres'] };
    expect(judgeRequest({ gpus: { count: 1 } }, refused).problems).toEqual([
      'GPUs would be asked for by --gres, which is refused here: say slurm: {gpus: {option: …}} of the cluster',
    ]);
    expect(judgeRequest({ gpus: { count: 0 } }, refused).problems).toEqual([]);
    expect(judgeRequest({ gpus: { count: 1 } }, { ...refused, gpus: { option: 'none' } }).problems).toEqual([]);
    const inPartition = { ...refused, partitions: { gpu: { gpus: { option: 'gpus' as const } } } };
    expect(judgeRequest({ gpus: { count: 1 }, partition: 'gpu' }, inPartition).problems).toEqual([]);
  });

  it('takes the rules of a partition where several are named', () => {
    const rules = { partitions: { 'gpu*': { account: 'forbidden' as const, gpus: { option: 'gpus' as const } } } };
    expect(renderDirectives(head({ partition: 'cpu,gpu1', account: 'a', gpus: { count: 1 } }), rules)).toEqual([
      ...always,
      '--gpus=1',
      '--partition=cpu,gpu1',
    ]);
  });

  it("puts the user's own words before the site's, and leaves out what the site refuses", () => {
    const rules = {
      directives: { constraint: 'any', 'hint-of-site': 'x', exclusive: 'user' },
      forbidden: ['qos', 'nice'],
    };
    const resources = {
      constraint: 'a100',
      qos: 'long',
      sbatchArgs: [{ name: 'exclusive' }, { name: 'nice', value: '10' }],
    };
    expect(renderDirectives(head(resources), rules)).toEqual([
      ...always,
      '--constraint=a100',
      '--hint-of-site=x',
      '--exclusive',
    ]);
    expect(judgeRequest(resources, rules).notes).toEqual([
      '--qos is refused there; it is left out.',
      '--nice is refused there; it is left out.',
    ]);
  });

  it('quotes blanks and escapes what sbatch would replace in the name of the log', () => {
    const lines = renderDirectives(head({}, { name: 'two words', logPath: '/a/%j/100%', workingDirectory: '/w/%j' }));
    expect(lines).toContain('--job-name="two words"');
    expect(lines).toContain('--output=/a/%%j/100%%');
    expect(lines).toContain('--chdir=/w/%j');
  });

  it.each(['a\nb', 'a\r#SBATCH --uid=0', 'a"b', "a'b", 'a\\b', 'a#b', 'a\0b', 'a\tb', 'a\u007fb'])(
    'refuses %j as a value, wherever it stands',
    async (value) => {
      for (const job of [
        head({}, { name: value }),
        head({}, { comment: value }),
        head({}, { logPath: value }),
        head({}, { workingDirectory: value }),
        head({ memory: value }),
        head({ partition: value }),
        head({ account: value }),
        head({ gpus: { type: value, count: 1 } }),
      ]) {
        expect((await failureOf(() => renderDirectives(job))).code).toBe('USAGE');
      }
    },
  );

  it('keeps any value on one line and in one word, or refuses it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (account) => {
        let line: string | undefined;
        try {
          line = renderDirectives(head({ account })).at(-1);
        } catch {
          return;
        }
        expect(line).toBe(`--account=${account.includes(' ') ? `"${account}"` : account}`);
        expect(line).not.toMatch(/[\n\r\t\\#']/);
        expect(line?.replaceAll('"', '').length).toBe(`--account=${account}`.length);
      }),
    );
  });
});

describe('renderTime', () => {
  it.each([
    [1, '0-00:00:01'],
    [3661, '0-01:01:01'],
    [86_399, '0-23:59:59'],
    [90_061, '1-01:01:01'],
    [30 * 86_400, '30-00:00:00'],
  ])('%d seconds are %s', (seconds, expected) => {
    expect(renderTime(seconds)).toBe(expected);
  });
});
