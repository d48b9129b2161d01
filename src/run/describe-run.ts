import { hostname } from 'node:os';
import { RemoteLayout } from '../cluster/layout.js';
import { expandRemotePath, type ClusterFacts } from '../cluster/probe.js';
import type { Snapshot } from '../cluster/snapshot.js';
import { resolveContainerCommand } from '../image/container-command.js';
import type { ImageInfo } from '../image/engine.js';
import type { CachedImage } from '../image/sif-cache.js';
import { packageVersion } from '../package-directory.js';
import type { JobScript } from '../slurm/job-script.js';
import { jobComment } from '../slurm/query.js';
import { readGitState } from './git-state.js';
import { describeImage, type Plan } from './plan.js';
import type { RunRecord } from './record.js';
import type { Session } from './session.js';

/** What is known once the image is there. */
interface RecordParts {
  facts: ClusterFacts;
  info: ImageInfo;
  image: CachedImage;
  snapshot: Snapshot;
  runId: string;
}

/** The record of a run that is about to be submitted. `expand` turns a bind's source into a path of the cluster. */
export async function renderRunRecord(
  { cluster }: Session,
  plan: Plan,
  { facts, info, image, snapshot, runId }: RecordParts,
  expand = (path: string) => expandRemotePath(path, facts, cluster.name),
): Promise<RunRecord> {
  return {
    schemaVersion: 1,
    runId,
    name: plan.name,
    cluster: cluster.name,
    createdAt: new Date().toISOString(),
    hpcrunVersion: packageVersion(),
    origin: { host: hostname(), projectDirectory: plan.project.directory },
    image: {
      id: info.id,
      tag: describeImage(plan.image),
      sha256: image.sha256,
      sizeBytes: image.sizeBytes,
      overlays: [],
    },
    code: {
      treeHash: snapshot.treeHash,
      files: snapshot.files.filter(({ type }) => type !== 'directory').length,
      git: await readGitState(plan.project.directory),
    },
    command: resolveContainerCommand(plan.command, info),
    containerDirectory: plan.containerDirectory,
    mount: plan.mount,
    binds: plan.binds.map((bind) => ({ ...bind, source: expand(bind.source) })),
    variables: Object.keys(plan.variables),
    resources: plan.resources,
    resultsExclude: plan.project.config.results.exclude,
    root: facts.root,
    jobId: null,
  };
}

/** What the job script says, from the record alone. */
export function renderScriptInput({ cluster }: Session, record: RunRecord): JobScript {
  const layout = new RemoteLayout(record.root);
  const run = layout.run(record.runId);
  return {
    runId: record.runId,
    head: {
      name: record.name,
      comment: jobComment(record.runId),
      logPath: run.log,
      workingDirectory: run.work,
      resources: record.resources,
    },
    runDirectory: run.directory,
    imagePath: layout.image(record.image.sha256),
    imageBytes: String(record.image.sizeBytes),
    binds: record.binds,
    mount: record.mount,
    containerDirectory: record.containerDirectory,
    modules: cluster.modules ?? [],
    command: record.command,
    hpcrunVersion: record.hpcrunVersion,
  };
}
