import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SlowLink } from '../support/slow-link.js';
import { startSshd, type ExtraSshd } from './extra-sshd.js';
import { farRoot, hpcrun, makeProject, onLogin, sandboxCluster, startHpcrun } from './lab.js';

/** The sandbox behind a link that can be cut, and behind an sshd that allows one session. */
let link: SlowLink;
let sshd: ExtraSshd;
let project: string;

beforeAll(async () => {
  const { port, identityFile, knownHostsFile } = await sandboxCluster();
  link = await SlowLink.open({ host: '127.0.0.1', port });
  sshd = await startSshd(2251, ['MaxSessions=1']);
  project = await makeProject({
    known_hosts: (await readFile(knownHostsFile, 'utf8')).replace(/^\S+/gm, `[127.0.0.1]:${link.port}`),
  });
  const common = { user: 'researcher', root: farRoot, pollSeconds: 2 };
  const clusters = {
    cut: { ...common, host: '127.0.0.1', port: link.port, identityFile, knownHostsFile: join(project, 'known_hosts') },
    narrow: {
      ...common,
      host: sshd.target.host,
      port: sshd.target.port,
      identityFile,
      knownHostsFile: sshd.target.knownHostsFile,
    },
    // Nobody listens there.
    away: { ...common, host: '127.0.0.1', port: 1, identityFile, knownHostsFile: join(project, 'known_hosts') },
  };
  await writeFile(
    join(project, 'hpcrun.yaml'),
    JSON.stringify({ cluster: 'cut', image: { name: 'debian:trixie-slim' }, clusters }),
  );
});

afterAll(async () => {
  await link.close();
  await sshd.stop();
});

const on = (cluster: string) => ({ cwd: project, env: { HPCRUN_CLUSTER: cluster } });

async function submit(
  cluster: string,
  script: string,
  ...options: string[]
): Promise<{ runId: string; jobId: string }> {
  const { objects, stderr } = await hpcrun(['submit', '--json', ...options, '--', 'sh', '-c', script], on(cluster));
  expect(objects, stderr).toHaveLength(1);
  return objects[0] as { runId: string; jobId: string };
}

describe('a log that is followed', () => {
  it('goes on where it was when the connection is cut, again and again', async () => {
    const { runId } = await submit('cut', 'i=0; while [ $i -lt 150 ]; do i=$((i+1)); echo "line $i"; sleep 0.1; done');
    const following = startHpcrun(['logs', '-f', runId], on('cut'));
    let seen = '';
    following.stdout.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
    });
    for (const line of [20, 60, 100]) {
      await expect.poll(() => seen, { timeout: 90_000, interval: 50 }).toContain(`line ${line}\n`);
      link.cut();
    }
    const { exitCode, stdout, stderr } = await following;
    expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toBe(Array.from({ length: 150 }, (_, index) => `line ${index + 1}`).join('\n'));
    expect(stderr.match(/Connecting again/g)).toHaveLength(3);
  });

  it('goes on when SLURM starts the job anew', async () => {
    const { runId, jobId } = await submit(
      'cut',
      'echo "start ${SLURM_RESTART_COUNT:-0}"; [ "${SLURM_RESTART_COUNT:-0}" = 1 ] || exec sleep 300; echo done',
      '--sbatch-arg',
      'requeue',
    );
    const following = startHpcrun(['logs', '-f', runId], on('cut'));
    await expect
      .poll(() => onLogin(`cat ${farRoot}/runs/${runId}/logs/job.log 2>/dev/null || true`), { timeout: 60_000 })
      .toContain('start 0');
    await onLogin(`scontrol requeue ${jobId}`);
    // SLURM lets a requeued job wait for two minutes, unless told otherwise.
    await expect
      .poll(() => onLogin(`scontrol update JobId=${jobId} StartTime=now 2>&1; squeue -h -j ${jobId} -o %T`), {
        timeout: 60_000,
      })
      .toContain('RUNNING');
    const { exitCode, stdout } = await following;
    expect(exitCode).toBe(0);
    expect(stdout.split('\n').filter((line) => /^(?:start|done)/.test(line))).toEqual(['start 0', 'start 1', 'done']);
    const { objects } = await hpcrun(['status', '--json', runId], on('cut'));
    expect(objects).toMatchObject([{ state: 'COMPLETED', exitCode: 0, jobId }]);
  });

  it('takes turns with the questions to SLURM where sshd allows one session', async () => {
    const { exitCode, stdout } = await hpcrun(
      ['submit', '--wait', '--', 'sh', '-c', 'echo begin; sleep 7; echo end; exit 3'],
      on('narrow'),
    );
    expect(exitCode).toBe(3);
    expect(stdout).toBe('begin\nend');
  });
});

describe('hpcrun status', () => {
  it('--watch shows changes as lines and ends when the run has', async () => {
    const { runId } = await submit('cut', 'sleep 5', '--begin', 'now+8');
    const { exitCode, stdout } = await hpcrun(['status', '--watch', runId], on('cut'));
    expect(exitCode).toBe(0);
    const states = stdout.split('\n').map((line) => line.split('  ')[4] ?? '');
    expect(states[0]).toBe('PENDING');
    expect(stdout).toContain('BeginTime: it may not start earlier');
    expect(states.at(-1)).toBe('COMPLETED');
    expect(new Set(states).size).toBe(states.length);
  });

  it('--all shows what answers, names what does not, and passes its status on', async () => {
    const { runId } = await submit('cut', 'true');
    const { exitCode, stdout, stderr } = await hpcrun(['status', '--all'], on('cut'));
    expect(exitCode).toBe(5);
    // Three of the clusters are the same one: each run is shown once.
    expect(stdout.match(new RegExp(`^cut +${runId}`, 'gm'))).toHaveLength(1);
    expect(stderr).toContain('away could not be asked');
    const asked = await hpcrun(['status', '--all', runId], on('cut'));
    expect(asked.exitCode).toBe(2);
  });
});
