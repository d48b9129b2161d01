import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseContainers, type ContainerFacts } from '../../cluster/containers.js';
import { RemoteLayout } from '../../cluster/layout.js';
import type { ClusterFacts } from '../../cluster/probe.js';
import type { ResolvedCluster } from '../../config/cluster.js';
import type { Resources } from '../../config/resources.js';
import { HpcrunError } from '../../errors.js';
import { packageDirectory } from '../../package-directory.js';
import type { ResourceRequest } from '../../slurm/directives.js';
import type { Connection } from '../../ssh/connection.js';
import { remoteFailure } from '../../ssh/remote-script.js';
import { printable } from '../../ssh/terminal-text.js';
import { jobModules } from '../describe-run.js';
import { renderTrial, trialMark, trialStatus } from './trial-script.js';

/** What the small job on a compute node has told. */
export type TrialResult =
  | { kind: 'ran'; node: string; facts: ContainerFacts; scratchBytes: number | undefined }
  /** It ran, but no container did. */
  | { kind: 'no-container'; node: string; message: string }
  /** It was cancelled, since it was still waiting in the queue. */
  | { kind: 'waiting'; jobId: string; state: string }
  /** It ended without an answer. */
  | { kind: 'ended'; jobId: string; state: string; log: string[] };

/** What the job asks for: where and as whom the project's own jobs run, and one GPU if they want some. */
export function trialResources(wishes: Resources, required: readonly string[] = []): ResourceRequest {
  const { partition, account, qos, reservation, constraint, sbatchArgs, gpus, memory } = wishes;
  return {
    time: 300,
    partition,
    account,
    qos,
    reservation,
    constraint,
    sbatchArgs,
    ...(gpus && gpus.count > 0 ? { gpus: { ...gpus, count: 1 } } : {}),
    ...(required.includes('memory') ? { memory: memory ?? '1G' } : {}),
    ...(required.includes('cpus') ? { cpus: 1 } : {}),
  };
}

export interface TrialInputs {
  cluster: ResolvedCluster;
  facts: ClusterFacts;
  connection: Connection;
  wishes: Resources;
  patienceSeconds: number;
  onProgress: (detail: string) => void;
  signal: AbortSignal;
}

/** Runs the small job. Throws SLURM_REFUSED, SLURM_MISSING, REMOTE_DISK_FULL and what a connection throws. */
export async function runTrial(inputs: TrialInputs): Promise<TrialResult> {
  const { cluster, facts, connection, wishes, patienceSeconds, onProgress, signal } = inputs;
  const script = renderTrial({
    id: randomBytes(8).toString('hex'),
    layout: new RemoteLayout(facts.root, facts.store),
    architecture: facts.architecture,
    resources: trialResources(wishes, cluster.slurm?.required),
    rules: cluster.slurm ?? {},
    modules: jobModules(cluster),
    containerCommand: cluster.container?.command,
    proxy: cluster.proxy?.https ?? cluster.proxy?.http,
    computeInternet: cluster.computeInternet,
    nodeProbe: await readFile(join(packageDirectory(), 'slurm-templates', 'node-probe.sh'), 'utf8'),
    pollSeconds: cluster.pollSeconds,
    patienceSeconds,
  });
  const lines: string[] = [];
  let rest = '';
  const result = await connection.stream(script, {
    signal,
    onStdout: (chunk) => {
      const parts = (rest + chunk.toString('utf8')).split('\n');
      rest = parts.pop() ?? '';
      for (const line of parts.map(printable)) {
        if (line.startsWith(trialMark.progress)) onProgress(`job ${line.slice(trialMark.progress.length)}`);
        else lines.push(line);
      }
    },
  });
  if (result.exitCode === trialStatus.refused) {
    throw new HpcrunError('SLURM_REFUSED', `a small job was refused: ${printable(result.stderr.trim())}`, {
      hint: 'It asks for the partition and account of your project, and five minutes: choose others under resources: in hpcrun.yaml.',
    });
  }
  if (result.exitCode === trialStatus.noSlurm) {
    throw new HpcrunError('SLURM_MISSING', `there is no sbatch command on ${connection.description}`, {
      hint: 'If SLURM comes with a module, name it: slurm: {modules: [NAME]} of the cluster.',
    });
  }
  if (result.exitCode !== 0) throw remoteFailure(connection, 'running a small job', result);
  return parseTrial(lines);
}

/** Reads the lines of the script. Exported for tests. */
export function parseTrial(lines: string[]): TrialResult {
  const after = (mark: string) => lines.flatMap((line) => (line.startsWith(mark) ? [line.slice(mark.length)] : []));
  const [end] = after(trialMark.ended);
  if (end !== undefined) {
    const [jobId = '', ...words] = end.split(' ');
    const state = words.join(' ');
    if (/^(?:PENDING|CONFIGURING|RUNNING|SUSPENDED)/.test(state)) return { kind: 'waiting', jobId, state };
    return { kind: 'ended', jobId, state, log: after(trialMark.log) };
  }
  const answer = after(trialMark.answer);
  const value = (name: string) =>
    answer
      .find((line) => line.startsWith(`${name} `))
      ?.slice(name.length + 1)
      .trim();
  const node = value('node') ?? 'a compute node';
  const facts = parseContainers(answer.join('\n'));
  if (!facts || value('runs') !== 'yes') {
    return { kind: 'no-container', node, message: value('missing') ?? value('failed') ?? 'it gave no answer' };
  }
  const kibibytes = Number(value('scratch')?.split(' ')[0] ?? NaN);
  return { kind: 'ran', node, facts, scratchBytes: Number.isNaN(kibibytes) ? undefined : kibibytes * 1024 };
}
