import { describe, expect, it } from 'vitest';
import { parseUsage } from '../../src/slurm/usage.js';

const runId = '20261122-081530-k3f9';

// As sacct of SLURM 24.11 prints it.
const output = `usage|4711|1795420000|1795420010|1795420075|01:30.250|  |billing=2,cpu=2,gres/gpu=1,mem=4G,node=1|hpcrun:${runId}
usage|4711.batch|1795420010|1795420010|1795420075|01:30.250|1.5G|cpu=2,mem=4G,node=1|
usage|4711.extern|1795420010|1795420010|1795420075|00:00:00|812K|billing=2,cpu=2|
`;

describe('parseUsage', () => {
  it('takes times and what was given from the job, the peak from its steps', () => {
    expect(parseUsage(output, runId)).toEqual({
      submittedAt: 1795420000,
      startedAt: 1795420010,
      endedAt: 1795420075,
      cpuSeconds: 90.25,
      peakMemoryBytes: 1.5 * 1024 ** 3,
      allocated: 'billing=2,cpu=2,gres/gpu=1,mem=4G,node=1',
    });
  });

  it('knows of a job that waits when it was submitted', () => {
    expect(parseUsage(`usage|4711|1795420000|Unknown|Unknown|00:00:00||  |hpcrun:${runId}\n`, runId)).toMatchObject({
      submittedAt: 1795420000,
      startedAt: undefined,
      endedAt: undefined,
      peakMemoryBytes: undefined,
    });
  });

  it('reads days', () => {
    expect(parseUsage(output.replace('01:30.250', '2-03:04:05'), runId)?.cpuSeconds).toBe(183_845);
  });

  it.each(['', 'usage|\n', 'sacct: error\n', output.replace(`hpcrun:${runId}`, 'hpcrun:20200101-000000-aaaa')])(
    'knows nothing from %j',
    (text) => {
      expect(parseUsage(text, runId)).toBeUndefined();
    },
  );
});
