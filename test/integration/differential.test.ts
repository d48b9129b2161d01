import { execa } from 'execa';
import { rm } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { CliEngine } from '../../src/image/cli-engine.js';
import { reportParity, standingDifferences } from '../../src/image/parity.js';
import { cases, ownHome, type DifferentialCase } from './differential/cases.js';
import { busyboxImage } from './differential/busybox.js';
import { buildBusybox, makeDockerProject, obtainImage, runInDocker } from './differential/docker-side.js';
import { JobBatch } from './differential/job-side.js';
import { compareObservations, type Difference, type Observation } from './differential/observation.js';
import { hpcrun, makeProject } from './lab.js';

// Rows that are prepared at a time.
const width = 4;

interface Sides {
  docker: Observation;
  job: Observation;
  /** The codes of the parity report. */
  reported: string[];
}

const seen = new Map<DifferentialCase, Sides>();

/** Runs every row on both sides: the images one after the other, then all jobs at once. */
async function runAll(): Promise<void> {
  await buildBusybox();
  const engine = new CliEngine('docker');
  const project = await makeDockerProject();
  const batch = await JobBatch.make();
  try {
    const sifs = new Map<string, ReturnType<JobBatch['convert']>>();
    const prepared = await inParallel(cases, async (wanted, index) => {
      const info = await obtainImage(engine, index, wanted);
      const sif = sifs.get(info.id) ?? batch.convert(engine, info);
      sifs.set(info.id, sif);
      return { wanted, info, docker: await runInDocker(info.id, wanted, project), sif: await sif };
    });
    const jobs = await batch.run(prepared, project);
    for (const [index, { wanted, info, sif, docker }] of prepared.entries()) {
      const job = jobs[index];
      const report = [...reportParity({ info, survey: sif.survey, permissions: 'open' }), ...standingDifferences];
      if (job) seen.set(wanted, { docker, job, reported: report.map(({ code }) => code) });
    }
  } finally {
    await batch.remove();
    await rm(project, { recursive: true, force: true });
  }
}

async function inParallel<Item, Result>(
  items: Item[],
  work: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const left = [...items.entries()];
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let next = left.shift(); next; next = left.shift()) results[next[0]] = await work(next[1], next[0]);
    }),
  );
  return results;
}

describe('a job shows what docker run shows', () => {
  beforeAll(runAll, 600_000);

  it.each(cases.map((row) => [row.title, row] as const))('%s', (_, row) => {
    const sides = seen.get(row);
    if (!sides) throw new Error('was not run');
    const printsHome = (row.run?.kind ?? 'probe') === 'probe' && !row.setsHome;
    const differences = row.differences ?? [];
    const general = printsHome && !differences.some(({ what }) => what === ownHome.what) ? [ownHome] : [];
    const known = [...general, ...differences];
    const expected = known.map(({ what, docker, job }): Difference => ({ what, docker, job }));
    const byName = (a: Difference, b: Difference) => (a.what < b.what ? -1 : 1);
    expect(compareObservations(sides.docker, sides.job).sort(byName)).toEqual(expected.sort(byName));
    for (const { reportedAs } of known) if (reportedAs !== undefined) expect(sides.reported).toContain(reportedAs);
  });
});

describe('hpcrun submit --wait shows what docker run shows', () => {
  const dockerfile = `FROM ${busyboxImage}
ENV WORD="it's \\$HOME"
VOLUME /made/here
USER 1234
WORKDIR /elsewhere
ENTRYPOINT ["sh"]
CMD ["-c", "umask; echo \\"$WORD\\"; exit 7"]
`;

  it.each([
    ['a script and its arguments', ['script.sh', 'a b', '', '$(id)'], ['script.sh', 'a b', '', '$(id)']],
    ["the image's own command", [], []],
    ['a command behind ENTRYPOINT', ['--', '-c', 'echo out; exit 255'], ['-c', 'echo out; exit 255']],
  ])('%s', async (_, words, dockerWords) => {
    const project = await makeProject({
      'hpcrun.yaml': 'cluster: sandbox\n',
      Dockerfile: dockerfile,
      'script.sh': 'printf "[%s]" "$WORD" "$@"; pwd; ls; rm script.sh; exit 3\n',
    });
    const job = await hpcrun(['submit', '--wait', ...words], { cwd: project });
    await execa('chown', ['-R', '1500:1500', project]);
    const { stdout: image } = await execa('docker', ['build', '--quiet', project]);
    const options = ['--rm', '--network', 'none', '--user', '1500:1500', '--volume', `${project}:/workspace`];
    const command = ['run', ...options, '--workdir', '/workspace', image, ...dockerWords];
    const docker = await execa('docker', command, { reject: false, stdin: 'ignore' });
    expect({ exitCode: job.exitCode, stdout: job.stdout }).toEqual({
      exitCode: docker.exitCode,
      stdout: docker.stdout,
    });
    expect(docker.stdout).not.toBe('');
  });
});
