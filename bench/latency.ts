import { execa } from 'execa';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageDirectory } from '../src/package-directory.js';
import { renderLatencyTable, type LatencyRow } from './latency-table.js';
import { far, sshOptions } from './rivals.js';
import {
  accessThrough,
  benchEnvironment,
  configureClusters,
  farHome,
  hpcrunPath,
  loginContainer,
  onLogin,
  sandboxAccess,
  withSandbox,
  type Access,
} from './sandbox.js';
import { withSlowLink } from './slow-link-process.js';
import { TalkativeSshd, type SeenBySshd } from './talkative-sshd.js';

const roundTripMs = 50;
const root = `${farHome}/hpcrun`;
const talkativePort = 2240;

/** How hpcrun reaches the cluster; with a shared connection where `hpcrun connect` has been called before. */
const ways = [
  { name: 'ssh2', transport: 'ssh2', isShared: false },
  { name: 'openssh', transport: 'openssh', isShared: false },
  { name: 'ssh2, connect', transport: 'ssh2', isShared: true },
  { name: 'openssh, connect', transport: 'openssh', isShared: true },
] as const;

type Way = (typeof ways)[number];

interface Bench {
  directory: string;
  /** A copy of examples/digits. */
  project: string;
  /** A run that has ended; its results are here already. */
  runId: string;
}

const parts = { loopback: measureLoopback, far: measureFar, counts: countTrips, start: measureStart };

/**
 * What hpcrun's short commands cost when nothing has changed: seconds, on loopback and over 50 ms, beside the ssh command a user would give, and
 * connections, sessions and round trips as sshd sees them. `--quick` takes one round instead of three; `--only loopback | far | counts |
 * start` measures one part, or several with commas between them.
 */
export async function benchLatency(args: string[]): Promise<void> {
  const only = args.includes('--only') ? args[args.indexOf('--only') + 1]?.split(',') : undefined;
  const rounds = args.includes('--quick') ? 1 : 3;
  const directory = await mkdtemp(join(tmpdir(), 'hpcrun-bench-'));
  const project = join(directory, 'project');
  await cp(join(packageDirectory(), 'examples', 'digits'), project, { recursive: true });
  try {
    await withSandbox(directory, async () => {
      const access = await sandboxAccess(directory);
      await configureClusters(directory, { loopback: { access, root, overlays: true } });
      const submitted = await hpcrun({ directory, project }, 'loopback', ['submit', '--json', '--wait', 'train.py']);
      const runId = /"runId":"([^"]+)"/.exec(submitted)?.[1] ?? '';
      // From now on, jobs wait in the queue, and take no time from what is measured.
      await execa('docker', [
        'exec',
        loginContainer,
        'scontrol',
        'update',
        'nodename=ALL',
        'state=drain',
        'reason=bench',
      ]);
      await onLogin(`printf '#!/bin/sh\\n#SBATCH --gres=gpu:1\\ntrue\\n' >${farHome}/job.sh`);
      const rows: LatencyRow[] = [];
      for (const [name, measurePart] of Object.entries(parts)) {
        if (only?.includes(name) === false) continue;
        process.stderr.write(`measuring: ${name}\n`);
        rows.push(...(await measurePart({ directory, project, runId }, access, rounds)));
      }
      process.stdout.write(renderLatencyTable(rows));
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The commands that are measured, each with what a user would do instead. */
function commands({ runId, project }: Bench) {
  const log = `${root}/runs/${runId}/logs/job.log`;
  const results = join(project, 'beside');
  return [
    { name: 'submit', args: ['submit', 'train.py'], rival: { name: 'sbatch', command: 'sbatch job.sh' } },
    { name: 'status', args: ['status'], rival: { name: 'squeue', command: 'squeue' } },
    { name: 'logs', args: ['logs', runId], rival: { name: 'cat', command: `cat ${log}` } },
    {
      name: 'pull-results',
      args: ['pull-results', runId],
      rival: { name: 'rsync -a', source: `${root}/runs/${runId}/work/`, target: results },
    },
  ] as const;
}

type Rival = ReturnType<typeof commands>[number]['rival'];

async function measureLoopback(bench: Bench, access: Access, rounds: number): Promise<LatencyRow[]> {
  return await measureTimes(bench, access, { link: 'loopback', rounds });
}

async function measureFar(bench: Bench, access: Access, rounds: number): Promise<LatencyRow[]> {
  const options = { host: '127.0.0.1', port: access.port, delayMs: roundTripMs / 2 };
  return await withSlowLink(options, async (port) =>
    measureTimes(bench, await accessThrough(access, port), { link: `${roundTripMs} ms`, rounds }),
  );
}

async function measureTimes(
  bench: Bench,
  access: Access,
  { link, rounds }: { link: string; rounds: number },
): Promise<LatencyRow[]> {
  return await withClusters(bench, access, async (clusterOf) => {
    const seconds = new Map<string, number>();
    const time = async (key: string, work: () => Promise<unknown>) => {
      const startedAt = performance.now();
      await work();
      const taken = (performance.now() - startedAt) / 1000;
      seconds.set(key, Math.min(taken, seconds.get(key) ?? Infinity));
    };
    for (let round = 0; round < rounds; round += 1) {
      for (const { name, args, rival } of commands(bench)) {
        // Runs that other ways have submitted are new to each, once.
        if (name === 'status') for (const way of ways) await hpcrun(bench, clusterOf(way), [...args]);
        await time(rival.name, () => runRival(access, rival));
        for (const way of ways) {
          await time(`${name} ${way.name}`, () => hpcrun(bench, clusterOf(way), [...args]));
        }
      }
    }
    return commands(bench).flatMap(({ name, rival }) =>
      ways.map((way) => ({
        command: name,
        way: way.name,
        [link]: `${ratio(seconds, `${name} ${way.name}`, rival.name)} × ${rival.name}`,
      })),
    );
  });
}

/** A loaded machine makes a count one more or less now and then. */
function median(counts: number[]): string {
  return String([...counts].sort((a, b) => a - b)[Math.floor(counts.length / 2)]);
}

function ratio(seconds: Map<string, number>, of: string, beside: string): string {
  const [own = 0, other = 1] = [seconds.get(of), seconds.get(beside)];
  return `${own.toFixed(2)} s, ${(own / other).toFixed(2)}`;
}

async function countTrips(bench: Bench, access: Access, rounds: number): Promise<LatencyRow[]> {
  return await TalkativeSshd.with(talkativePort, async (sshd) =>
    withSlowLink({ host: sshd.host, port: sshd.port, delayMs: roundTripMs / 2 }, async (port) => {
      return await withClusters(bench, await accessThrough(access, port), async (clusterOf) => {
        const rows: LatencyRow[] = [];
        for (const { name, args, rival } of commands(bench)) {
          // As above.
          if (name === 'status') for (const way of ways) await hpcrun(bench, clusterOf(way), [...args]);
          const count = async (way: string, work: () => Promise<unknown>) => {
            const seen: SeenBySshd[] = [];
            for (let round = 0; round < rounds; round += 1) seen.push(await sshd.watch(roundTripMs, work));
            rows.push({
              command: name,
              way,
              connections: median(seen.map(({ connections }) => connections)),
              sessions: median(seen.map(({ sessions }) => sessions)),
              'round trips': median(seen.map(({ roundTrips }) => roundTrips)),
            });
          };
          await count(`ssh: ${rival.name}`, async () => runRival(await accessThrough(access, port), rival));
          for (const way of ways) await count(way.name, () => hpcrun(bench, clusterOf(way), [...args]));
        }
        return rows;
      });
    }),
  );
}

/** Configures one cluster for each way, gives each of its commands once so that all is known and nothing new, and connects where it is said so. */
async function withClusters<T>(
  bench: Bench,
  access: Access,
  work: (clusterOf: (way: Way) => string) => Promise<T>,
): Promise<T> {
  const clusterOf = ({ name }: Way) => `port-${access.port}-${name.replace(', ', '-')}`;
  await configureClusters(
    bench.directory,
    Object.fromEntries(ways.map((way) => [clusterOf(way), { access, root, overlays: true, transport: way.transport }])),
  );
  const shared = ways.filter(({ isShared }) => isShared).map(clusterOf);
  try {
    for (const cluster of shared) await hpcrun(bench, cluster, ['connect']);
    for (const way of ways) for (const { args } of commands(bench)) await hpcrun(bench, clusterOf(way), [...args]);
    return await work(clusterOf);
  } finally {
    for (const cluster of shared) await hpcrun(bench, cluster, ['disconnect']);
    await onLogin('scancel --user "$(id -un)"');
  }
}

async function measureStart(bench: Bench, _access: Access, rounds: number): Promise<LatencyRow[]> {
  const seconds = new Map<string, number>();
  for (let round = 0; round < rounds * 4; round += 1) {
    for (const [key, argv] of Object.entries({ 'node -e 0': ['-e', '0'], version: [hpcrunPath, '--version'] })) {
      const startedAt = performance.now();
      await execa('node', argv, { env: benchEnvironment(bench.directory) });
      seconds.set(key, Math.min((performance.now() - startedAt) / 1000, seconds.get(key) ?? Infinity));
    }
  }
  return [{ command: '--version', way: '', loopback: `${ratio(seconds, 'version', 'node -e 0')} × node -e 0` }];
}

async function hpcrun(
  { directory, project }: Pick<Bench, 'directory' | 'project'>,
  cluster: string,
  args: string[],
): Promise<string> {
  const env = { ...benchEnvironment(directory), HPCRUN_CLUSTER: cluster };
  const { stdout } = await execa('node', [hpcrunPath, ...args], { cwd: project, env, stdin: 'ignore' });
  return stdout;
}

async function runRival(access: Access, rival: Rival): Promise<void> {
  const options = sshOptions(access);
  if ('source' in rival) {
    await execa('rsync', ['-a', '-e', ['ssh', ...options].join(' '), far(rival.source), rival.target]);
  } else await execa('ssh', [...options, 'researcher@127.0.0.1', rival.command], { stdin: 'ignore' });
}
