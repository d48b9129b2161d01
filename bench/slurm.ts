import { execa } from 'execa';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { packageDirectory } from '../src/package-directory.js';
import { parseRecord, renderRecord } from '../src/run/record.js';
import { makeRunId } from '../src/run/run-id.js';
import { jobComment } from '../src/slurm/query.js';
import { sshOptions } from './rivals.js';
import {
  accessThrough,
  benchEnvironment,
  configureClusters,
  farHome,
  hpcrunPath,
  onLogin,
  sandboxAccess,
  withSandbox,
  type Access,
} from './sandbox.js';
import { withSlowLink } from './slow-link-process.js';
import { TalkativeSshd } from './talkative-sshd.js';

const root = `${farHome}/hpcrun`;
const talkativePort = 2241;
const manyRuns = 1000;
const waitingRuns = 20;
const followedMs = 60_000;

interface Bench {
  directory: string;
  /** A copy of examples/digits. */
  project: string;
  access: Access;
  rounds: number;
  /** A run that has ended. */
  runId: string;
}

type Row = [what: string, hpcrun: string, rival: string, ratio: string];

const parts = { status: measureStatus, sweep: measureSweep, follow: measureFollow };

/**
 * What hpcrun costs a batch system, beside what a user would type: the state of 1,000 runs, a sweep of 1,000 tasks, and a
 * followed log. `--quick` takes one round instead of three; `--only status | sweep | follow` measures one part, or several with commas.
 */
export async function benchSlurm(args: string[]): Promise<void> {
  const only = args.includes('--only') ? args[args.indexOf('--only') + 1]?.split(',') : undefined;
  const directory = await mkdtemp(join(tmpdir(), 'hpcrun-bench-'));
  const project = join(directory, 'project');
  await cp(join(packageDirectory(), 'examples', 'digits'), project, { recursive: true });
  try {
    await withSandbox(directory, async () => {
      const access = await sandboxAccess(directory);
      await configureClusters(directory, { loopback: { access, root, overlays: true } });
      const bench = { directory, project, access, rounds: args.includes('--quick') ? 1 : 3, runId: '' };
      const submitted = await hpcrun(bench, ['submit', '--json', '--wait', 'train.py']);
      bench.runId = /"runId":"([^"]+)"/.exec(submitted)?.[1] ?? '';
      const rows: Row[] = [['', 'hpcrun', 'beside it', 'ratio']];
      for (const [name, measurePart] of Object.entries(parts)) {
        if (only?.includes(name) === false) continue;
        process.stderr.write(`measuring: ${name}\n`);
        rows.push(...(await measurePart(bench)));
      }
      const lines = rows.map((row) => `| ${row.join(' | ')} |\n`);
      process.stdout.write([lines[0], '| --- | --- | --- | --- |\n', ...lines.slice(1)].join(''));
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** 1,000 runs, of which 20 wait and the others were cancelled: what `status` takes beside `ssh login squeue`. */
async function measureStatus(bench: Bench): Promise<Row[]> {
  const records = await recordsDirectory(bench);
  const like = parseRecord(await readFile(join(records, `${bench.runId}.json`), 'utf8'));
  const ids: string[] = [];
  for (let count = 0; count < manyRuns; count += 1) {
    const runId = makeRunId(new Date(Date.now() - count * 1000));
    ids.push(runId);
  }
  const list = ids.map((runId) => `${runId} ${jobComment(runId)}`).join('\n');
  const jobs = await onLogin(`mkdir -p ${root}/runs; cd ${root}/runs || exit 1
while read -r id comment; do
  mkdir -p "$id/state" "$id/work" "$id/logs"
  job=$(sbatch --parsable --hold --output=/dev/null --comment="$comment" --wrap=true </dev/null) || exit 1
  printf '%s %s\\n' "$job" "$(date +%s)" >"$id/state/receipt"
  echo "$job"
done <<'end'
${list}
end`);
  const jobIds = jobs.trim().split('\n');
  await onLogin(`scancel ${jobIds.slice(waitingRuns).join(' ')}`);
  for (const [index, runId] of ids.entries())
    await writeFile(join(records, `${runId}.json`), renderRecord({ ...like, runId, jobId: jobIds[index] ?? null }));
  const rival = 'squeue';
  const counted = await countSessions(bench, (cluster) => hpcrun(bench, ['status'], cluster));
  const seconds = await takeTurns(bench.rounds, {
    status: () => hpcrun(bench, ['status']),
    rival: () => ssh(bench.access, rival),
  });
  await onLogin('scancel --user "$(id -un)"');
  return [
    compare(`status of ${manyRuns} runs`, seconds, 'status', `ssh login ${rival}`),
    [`its remote commands`, String(counted), '', ''],
  ];
}

/** A sweep of 1,000 tasks beside one `sbatch`, and beside a submit of one job. */
async function measureSweep(bench: Bench): Promise<Row[]> {
  await onLogin(`printf '#!/bin/sh\\n#SBATCH --hold\\ntrue\\n' >${farHome}/job.sh`);
  const hold = ['submit', '--sbatch-arg=--hold'];
  const seconds = await takeTurns(bench.rounds, {
    sweep: () => hpcrun(bench, [...hold, '--sweep', `i=1..${manyRuns}`, 'train.py']),
    single: () => hpcrun(bench, [...hold, 'train.py']),
    rival: () => ssh(bench.access, 'sbatch job.sh'),
    clean: () => onLogin('scancel --user "$(id -un)"'),
  });
  return [
    compare(`a sweep of ${manyRuns} tasks`, seconds, 'sweep', 'ssh login sbatch'),
    compare('a job', seconds, 'single', 'ssh login sbatch'),
  ];
}

/** What following a log for a minute takes of this machine's processor, and how many remote commands. */
async function measureFollow(bench: Bench): Promise<Row[]> {
  const loop = 'i=0; while [ $i -lt 600 ]; do echo $i; i=$((i + 1)); sleep 1; done';
  const submitted = await hpcrun(bench, ['submit', '--json', '--', 'sh', '-c', loop]);
  const runId = /"runId":"([^"]+)"/.exec(submitted)?.[1] ?? '';
  let processorSeconds = 0;
  let lines = 0;
  const sessions = await countSessions(bench, async (cluster) => {
    const env = { ...benchEnvironment(bench.directory), HPCRUN_CLUSTER: cluster };
    const following = execa('node', [hpcrunPath, 'logs', '-f', runId], { env, cwd: bench.project, reject: false });
    // Its start and login are not its loop.
    await new Promise((resolve) => following.stdout.once('data', resolve));
    const before = await processorSecondsOf(following.pid);
    await new Promise((resolve) => setTimeout(resolve, followedMs));
    processorSeconds = (await processorSecondsOf(following.pid)) - before;
    following.kill('SIGINT');
    lines = (await following).stdout.split('\n').length;
  });
  await hpcrun(bench, ['cancel', runId]);
  return [
    [`a minute of logs -f, ${lines} lines: processor time here`, `${processorSeconds.toFixed(2)} s`, '', ''],
    ['its remote commands', String(sessions), '', ''],
  ];
}

/** How many commands sshd starts for `work`, which is given the name of a cluster that leads there. */
async function countSessions(
  { directory, access }: Bench,
  work: (cluster: string) => Promise<unknown>,
): Promise<number> {
  return await TalkativeSshd.with(talkativePort, async (sshd) =>
    withSlowLink({ host: sshd.host, port: sshd.port, delayMs: 1 }, async (port) => {
      const counted = { access: await accessThrough(access, port), root, overlays: true };
      await configureClusters(directory, { loopback: { access, root, overlays: true }, counted });
      // The first command of a cluster asks more than the others.
      await execa('node', [hpcrunPath, 'status', '--cluster', 'counted'], { env: benchEnvironment(directory) });
      const { sessions } = await sshd.watch(1, () => work('counted'));
      return sessions;
    }),
  );
}

/** Each in turn, several times; the best of each counts. */
async function takeTurns<Name extends string>(
  rounds: number,
  work: Record<Name, () => Promise<unknown>>,
): Promise<Record<Name, number>> {
  const best = Object.fromEntries(Object.keys(work).map((name) => [name, Infinity])) as Record<Name, number>;
  for (let round = 0; round < rounds; round += 1) {
    for (const name of Object.keys(work) as Name[]) {
      const startedAt = performance.now();
      await work[name]();
      best[name] = Math.min(best[name], (performance.now() - startedAt) / 1000);
    }
  }
  return best;
}

function compare<Name extends string>(
  what: string,
  seconds: Record<Name | 'rival', number>,
  name: Name,
  rival: string,
): Row {
  const [own, other] = [seconds[name], seconds.rival];
  return [what, `${own.toFixed(2)} s`, `${rival}: ${other.toFixed(2)} s`, (own / other).toFixed(2)];
}

/** Where this machine keeps the records of the bench's cluster. */
async function recordsDirectory({ directory, runId }: Bench): Promise<string> {
  const state = join(directory, 'state');
  const found = (await readdir(state, { recursive: true })).find((path) => path.endsWith(`${runId}.json`));
  if (found === undefined) throw new Error(`there is no record of ${runId}`);
  return dirname(join(state, found));
}

/** User and system time, in seconds (proc(5), /proc/PID/stat; 100 ticks a second on Linux). */
async function processorSecondsOf(pid: number | undefined): Promise<number> {
  const stat = await readFile(`/proc/${pid ?? 0}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function hpcrun({ directory, project }: Bench, args: string[], cluster = 'loopback'): Promise<string> {
  const env = { ...benchEnvironment(directory), HPCRUN_CLUSTER: cluster };
  const { stdout } = await execa('node', [hpcrunPath, ...args], { cwd: project, env, stdin: 'ignore' });
  return stdout;
}

async function ssh(access: Access, command: string): Promise<void> {
  await execa('ssh', [...sshOptions(access), 'researcher@127.0.0.1', command], { stdin: 'ignore' });
}
