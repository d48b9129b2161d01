import { describe, expect, it } from 'vitest';
import { errorOf, hpcrun, makeProject, onLogin } from './lab.js';

const files = {
  'hpcrun.yaml':
    'cluster: sandbox\nimage: { name: debian:trixie-slim }\nresources: { mailUser: ada, mailType: NONE }\n',
};

describe("sbatch's own words", () => {
  it('reach SLURM, from the command line and from hpcrun.yaml', async () => {
    const project = await makeProject(files);
    const before = await hpcrun(['submit', '--json', '--begin', 'now+1hour', '--', 'true'], { cwd: project });
    const [{ jobId: first }] = before.objects as [{ jobId: string }];
    const words = [
      ...['--begin=now+2hours', '--nodelist=c2', '--dependency', `afterany:${first}`],
      ...['--sbatch-arg', '--nice=77', '--sbatch-arg=no-requeue'],
    ];
    const { exitCode, objects } = await hpcrun(['submit', '--json', ...words, '--', 'true'], { cwd: project });
    expect(exitCode).toBe(0);
    const [{ jobId }] = objects as [{ jobId: string }];
    const shown = await onLogin(`scontrol show job ${jobId}`);
    await onLogin(`scancel ${jobId} ${first}`);
    for (const word of ['ReqNodeList=c2', `afterany:${first}`, 'Nice=77', 'Requeue=0']) expect(shown).toContain(word);
    const at = (name: string) => Date.parse(new RegExp(`${name}=(\\S+)`).exec(shown)?.[1] ?? '');
    expect(at('EligibleTime') - at('SubmitTime')).toBeGreaterThan(3_600_000);
  });

  it.each([
    [['--nodelist', 'nowhere'], 7, /batch \(default\)/],
    [['--sbatch-arg', '--output=/dev/null'], 2, /hpcrun submit --help/],
    [['--nodelist', 'c1 --uid=0'], 2, /hpcrun submit --help/],
  ])('%j is refused with what to do', async (words, status, hint) => {
    const refused = await hpcrun(['submit', '--json', ...words, '--', 'true'], { cwd: await makeProject(files) });
    expect(refused.exitCode).toBe(status);
    expect(errorOf(refused).hint).toMatch(hint);
  });
});
