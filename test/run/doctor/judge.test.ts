import { describe, expect, it } from 'vitest';
import type { Partition, Survey } from '../../../src/cluster/survey.js';
import type { Resources } from '../../../src/config/resources.js';
import { exitStatusOf, problemOf, type Finding } from '../../../src/run/doctor/finding.js';
import { judgeLogin, judgeSlurm, judgeStorage } from '../../../src/run/doctor/judge-survey.js';
import { judgeTrial } from '../../../src/run/doctor/judge-trial.js';
import { judgeWishes, mendRefusal } from '../../../src/run/doctor/judge-wishes.js';
import { judgeRehearsal } from '../../../src/run/doctor/rehearse.js';
import { judgeDisk } from '../../../src/run/doctor/this-machine.js';
import { HpcrunError } from '../../../src/errors.js';
import { makePartition, makeSurvey } from '../../support/survey.js';

const cluster = { name: 'c', root: '~/hpcrun', pollSeconds: 60, site: undefined };

function brief(findings: Finding[]) {
  return findings.map(({ name, verdict }) => `${name} ${verdict}`);
}

describe('judgeWishes', () => {
  const partitions: Partition[] = [
    makePartition({ name: 'batch', isDefault: true, maxSeconds: 86_400, cpus: 64, memoryMb: 256_000 }),
    makePartition({ name: 'gpu', gpus: [{ type: 'h100', count: 4 }], maxSeconds: 3600, deniedAccounts: ['course'] }),
  ];
  const { slurm } = makeSurvey({
    partitions,
    accounts: [
      { name: 'mine', qos: [] },
      { name: 'course', qos: [] },
    ],
  });
  const judge = (wishes: Resources, rules = {}) => judgeWishes(wishes, slurm, { name: 'c', slurm: rules });

  it.each<[string, Resources, string[]]>([
    ['what fits', { gpus: { count: 4 }, partition: 'gpu', time: 3600, account: 'mine' }, []],
    ['nothing at all', {}, []],
    ['one of two partitions', { partition: 'batch,gpu', gpus: { type: 'h100', count: 1 } }, []],
    ['an unknown partition', { partition: 'nowhere' }, ['partition problem']],
    ['too long a time', { time: 90_000 }, ['time problem']],
    ['GPUs where there are none', { gpus: { count: 1 } }, ['gpus problem']],
    ['a type that is not there', { partition: 'gpu', gpus: { type: 'a100', count: 1 } }, ['gpus problem']],
    ['too many GPUs', { partition: 'gpu', gpus: { count: 5 } }, ['gpus problem']],
    ['too many cores and too much memory', { cpus: 65, memory: '1T' }, ['cpus problem', 'memory problem']],
    ['an account that is not one', { account: 'other' }, ['account problem']],
    ['an account the partition keeps out', { account: 'course', partition: 'gpu' }, ['account problem']],
  ])('%s', (_, wishes, expected) => {
    expect(brief(judge(wishes))).toEqual(expected);
  });

  it('names the partition that would do', () => {
    expect(judge({ gpus: { count: 2 } })[0]).toMatchObject({
      remedy: expect.stringContaining('fit into gpu.') as string,
    });
  });

  it("holds to the site's rules, and does not count GPUs that come with a partition", () => {
    expect(brief(judge({}, { required: ['time'] }))).toEqual(['site-rules problem']);
    expect(brief(judge({ gpus: { count: 1 } }, { gpus: { option: 'none' } }))).toEqual(['site-rules note']);
  });

  it('does not count GPUs that come with a partition by its own rules, and knows accounts of several partitions', () => {
    const rules = { partitions: { batch: { gpus: { option: 'none' } } } };
    expect(brief(judge({ gpus: { count: 1 }, partition: 'batch' }, rules))).toEqual(['site-rules note']);
    const bound = { ...slurm, accounts: [{ name: 'mine', partition: 'gpu', qos: [] }] };
    const wishes = { account: 'mine', partition: 'batch,gpu' };
    expect(judgeWishes(wishes, bound, { name: 'c', slurm: {} })).toEqual([]);
  });

  it('says nothing of what is not known', () => {
    expect(judgeWishes({ partition: 'p', account: 'a' }, makeSurvey({}).slurm, { name: 'c' })).toEqual([]);
  });
});

describe('judging a survey', () => {
  it('is content with a cluster that has everything', () => {
    const survey = makeSurvey({ partitions: [makePartition({ isDefault: true })], accounts: [{ name: 'a', qos: [] }] });
    const findings = [
      ...judgeLogin(survey),
      ...judgeSlurm(survey, cluster),
      ...judgeStorage(survey, cluster, '/home/ada/hpcrun'),
    ];
    expect(findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([]);
  });

  it('offers the module that looks like SLURM', () => {
    const survey: Survey = { ...makeSurvey({ found: 'none' }), modules: ['slurm/24', 'apptainer'] };
    expect(judgeSlurm(survey, cluster)).toMatchObject([
      { verdict: 'problem', code: 'SLURM_MISSING', remedy: expect.stringContaining('modules: [slurm/24]') as string },
    ]);
  });

  it('sees nodes that are all down, commands that are missing, accounting that is off, and complaints', () => {
    const partitions = [makePartition({ usableNodes: 0 })];
    const survey = makeSurvey({
      partitions,
      hasAccounting: false,
      commands: ['sbatch', 'squeue'],
      complaints: ['sinfo: slow'],
    });
    expect(brief(judgeSlurm(survey, cluster))).toEqual([
      ...['commands problem', 'complaint warning', 'partitions warning', 'accounts note', 'accounting note'],
    ]);
  });

  it.each([
    [{ freeBytes: 1e12, freeInodes: 1e6, quotaLeftBytes: 5e9 }, ['root ok', 'room warning', 'files ok']],
    [{ freeBytes: 1e8, freeInodes: 100 }, ['root ok', 'room problem', 'files problem']],
    [{ quotaLeftInodes: 2000 }, ['root ok', 'room note', 'files warning']],
  ])('measures what is left: %j', (space, expected) => {
    const survey: Survey = { ...makeSurvey({}), space };
    expect(brief(judgeStorage(survey, cluster, '/home/ada/hpcrun'))).toEqual(expected);
  });

  it('proposes another place where the root cannot be written', () => {
    const survey: Survey = {
      ...makeSurvey({}),
      root: { existing: '/', isWritable: false },
      places: { HPCWORK: '/hpcwork/ada' },
    };
    expect(judgeStorage(survey, cluster, '/x')).toMatchObject([
      { remedy: expect.stringContaining('$HPCWORK/hpcrun') as string },
    ]);
  });

  it('sees a clock that goes wrong', () => {
    expect(brief(judgeLogin({ ...makeSurvey({}), clockAheadSeconds: -600 }))).toEqual([
      'login-node ok',
      'clock warning',
    ]);
  });
});

describe('judgeTrial', () => {
  const facts = { overlays: true, zstd: false, kernel: '4.18', driver: '535.1', internet: false };
  it('says what images will be sent in, and objects to a configuration that cannot work', () => {
    const ran = { kind: 'ran', node: 'c1', facts, scratchBytes: 5e8 } as const;
    expect(brief(judgeTrial(ran, { name: 'c' }))).toEqual([
      'job ok',
      'zstd note',
      'overlays ok',
      'internet note',
      'scratch warning',
    ]);
    expect(brief(judgeTrial(ran, { name: 'c', compression: 'zstd' }))).toContain('zstd problem');
  });
});

describe('a node without a container program', () => {
  it.each([
    [['slurm/24', 'apptainer/1.4'], 'container: {modules: [apptainer/1.4]}'],
    [[], 'container: {modules: [NAME]}'],
  ])('is mended with a module: %j', (modules, remedy) => {
    const result = {
      kind: 'no-container',
      node: 'c1',
      message: 'neither apptainer nor singularity was found there',
    } as const;
    expect(judgeTrial(result, { name: 'c' }, modules)).toMatchObject([
      { verdict: 'problem', code: 'CONTAINER_UNUSABLE', remedy: expect.stringContaining(remedy) as string },
    ]);
  });
});

describe('judgeRehearsal', () => {
  it('reads what sbatch said, and what is absent', () => {
    const output =
      'sbatch: error: Batch job submission failed: No partition specified\nhpcrun-rehearsal status 1\nhpcrun-rehearsal absent /a b\n';
    const asked = { cluster: { name: 'x' }, slurm: makeSurvey({}).slurm };
    expect(judgeRehearsal(output, ['/a b', '/c'], asked)).toMatchObject([
      { name: 'sbatch', verdict: 'problem', message: expect.stringContaining('No partition specified') as string },
      { name: 'bind', verdict: 'problem', message: expect.stringContaining('/a b') as string },
      { name: 'bind', verdict: 'ok', message: 'binds have their sources: /c' },
    ]);
    const taken =
      'sbatch: Job 12 to start at 2026-11-25T16:10:00 using 1 processors on nodes c1 in partition batch\nhpcrun-rehearsal status 0\n';
    expect(judgeRehearsal(taken, [], asked)).toMatchObject([
      { verdict: 'ok', message: 'sbatch would take the job; now it would start at 2026-11-25 16:10:00 on c1 in batch' },
    ]);
  });
});

describe('mendRefusal', () => {
  const { slurm } = makeSurvey({ accounts: [{ name: 'mine', qos: [] }] });
  it.each([
    ['No account given: choose one with --account.', '--account mine'],
    ['--mem is not allowed here', 'Leave out --memory'],
    ['Requested node configuration is not available', 'Partitions and their limits'],
  ])('%s', (said, remedy) => {
    expect(mendRefusal(said, slurm)).toContain(remedy);
  });
});

describe('findings', () => {
  it('end with the status of the first problem', () => {
    const problem = problemOf('slurm', 'x', new HpcrunError('SLURM_MISSING', 'gone', { hint: 'look' }));
    expect(problem).toMatchObject({ verdict: 'problem', message: 'gone', remedy: 'look', code: 'SLURM_MISSING' });
    expect(exitStatusOf([judgeDisk('/c', 5e9), problem, judgeDisk('/c', 1e6)])).toBe(7);
    expect(exitStatusOf([judgeDisk('/c', 5e9)])).toBe(0);
  });

  it('are made of no bug and no interruption', () => {
    expect(() => problemOf('slurm', 'x', new TypeError('bug'))).toThrow('bug');
    expect(() => problemOf('slurm', 'x', new HpcrunError('INTERRUPTED', 'stop'))).toThrow('stop');
  });
});
