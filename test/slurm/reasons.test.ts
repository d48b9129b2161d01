import { describe, expect, it } from 'vitest';
import { explainReason, explainState } from '../../src/slurm/reasons.js';

describe('explainReason', () => {
  it.each<[string, RegExp]>([
    ['Priority', /higher priority/],
    ['Resources', /until enough is free/],
    ['Dependency', /another job/],
    ['DependencyNeverSatisfied', /never start/],
    ['BeginTime', /not start earlier/],
    ['JobHeldUser', /you hold it/],
    ['JobHeldAdmin', /administrator/],
    ['launch failed requeued held', /could not start it/],
    ['PartitionTimeLimit', /more than the partition allows/],
    ['PartitionNodeLimit', /more nodes/],
    ['ReqNodeNotAvail, UnavailableNodes:c[1-2]', /down, reserved or in maintenance/],
    ['ReqNodeNotAvail(Unavailable:c1)', /down, reserved or in maintenance/],
    ['Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions', /down, reserved/],
    ['JobArrayTaskLimit', /as many tasks/],
    ['QOSMaxCpuPerUserLimit', /your limit/],
    ['QOSMaxJobsPerUserLimit', /your limit/],
    ['QOSMaxGRESPerUser', /your limit/],
    ['AssocMaxJobsLimit', /your limit/],
    ['QOSMaxJobsPerAccountLimit', /your account/],
    ['QOSMaxMemoryPerJob', /one job may have/],
    ['QOSMaxNodePerJobLimit', /one job may have/],
    ['AssocMaxCpuMinutesPerJobLimit', /one job may have/],
    ['QOSMaxWallDurationPerJobLimit', /one job may have/],
    ['AssocMaxWallDurationPerJobLimit', /one job may have/],
    ['QOSMinGRES', /less than a job must/],
    ['AssocGrpCPUMinutesLimit', /computing time/],
    ['AssocGrpCPURunMinutesLimit', /computing time/],
    ['AssocGrpGRESMinutes', /computing time/],
    ['QOSGrpBillingMinutes', /computing time/],
    ['AssocGrpNodeLimit', /your group uses/],
    ['AssocGrpGRES', /your group uses/],
    ['QOSGrpCpuLimit', /your group uses/],
    ['QOSJobLimit', /a limit of your account or QOS/],
    ['AssociationJobLimit', /a limit of your account or QOS/],
  ])('says what %s means', (reason, meaning) => {
    expect(explainReason(reason)).toMatch(meaning);
  });

  it('says nothing of what it does not know', () => {
    expect(explainReason('NonZeroExitCode')).toBeUndefined();
    expect(explainReason('something new')).toBeUndefined();
  });
});

describe('explainState', () => {
  it('explains states whose name is not enough, and no others', () => {
    expect(explainState('COMPLETING')).toBe('it is ending');
    expect(explainState('REQUEUE_HOLD')).toContain('scontrol release');
    expect(explainState('RUNNING')).toBeUndefined();
  });
});
