import type { ClusterFacts } from '../cluster/probe.js';
import { takeSnapshot } from '../cluster/snapshot.js';
import { emptyImage, type ImageInfo } from '../image/engine.js';
import { formatBytes } from '../progress.js';
import { renderJobScript } from '../slurm/job-script.js';
import { renderRunRecord, renderScriptInput } from './describe-run.js';
import { describeCommand, describeImage, type Plan } from './plan.js';
import { readGitState } from './git-state.js';
import { makeRunId } from './run-id.js';
import type { Session } from './session.js';

/** What `submit --dry-run` shows; touches neither the engine nor the cluster. */
export interface DryRun {
  runId: string;
  command: string;
  steps: string[];
  script: string;
}

/** The plan in words and the batch script, with the parts that only building or asking the cluster would tell in <angle brackets>. */
export async function dryRun(session: Session, plan: Plan): Promise<DryRun> {
  const snapshot = await takeSnapshot(plan.project.directory);
  const { root, store } = session.cluster;
  const facts: ClusterFacts = { root, store: store?.path ?? root, home: '~', architecture: 'amd64', variables: {} };
  const info: ImageInfo = {
    ...emptyImage,
    ...(plan.command.kind === 'image' ? { command: ["<the image's ENTRYPOINT and CMD>"] } : {}),
  };
  const parts = [{ path: undefined, sha256: '<sha256>', sizeBytes: 0 }];
  const image = { info, parts, isNative: true, volumes: [], probesContainers: false, built: false, converted: false };
  const record = renderRunRecord(
    session,
    plan,
    { facts, image, snapshot, git: await readGitState(plan.project.directory), runId: makeRunId(new Date()) },
    (path) => path,
  );
  return {
    runId: record.runId,
    command: describeCommand(plan.command),
    steps: [
      ...imageSteps(plan),
      `copy it to ${session.cluster.name} (${session.cluster.host}), unless it is there`,
      `send ${snapshot.files.length} files of ${plan.project.directory} (${formatBytes(snapshot.sizeBytes)}), unless this tree is there`,
      'submit the script below with sbatch; ~, variables of the cluster and <…> in it are filled in then',
    ],
    script: renderJobScript(plan.template, {
      ...renderScriptInput(session, record),
      imageBytes: '<size>',
    }),
  };
}

function imageSteps({ image }: Plan): string[] {
  if (image.kind === 'sif') return [`use ${image.path} as it is`];
  const convert = 'convert it to a SIF, unless this image has been converted before';
  return image.kind === 'build'
    ? [`build ${image.request.dockerfile} as ${describeImage(image)}`, convert]
    : [`pull ${image.name}, unless it is here`, convert];
}
