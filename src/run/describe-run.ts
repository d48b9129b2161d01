import { hostname } from 'node:os';
import { RemoteLayout } from '../cluster/layout.js';
import { expandRemotePath, type ClusterFacts } from '../cluster/probe.js';
import type { Snapshot } from '../cluster/snapshot.js';
import { listingDigest } from '../cluster/store-snapshot.js';
import { resolveContainerCommand } from '../image/container-command.js';
import { packageVersion } from '../package-directory.js';
import type { JobScript } from '../slurm/job-script.js';
import { jobComment } from '../slurm/query.js';
import { processesPerNode, resourcesOfTemplate } from '../slurm/tasks.js';
import { imageParts } from './image-parts.js';
import { describeImage, type Plan } from './plan.js';
import type { PreparedImage } from './prepare-image.js';
import type { RunRecord } from './record.js';
import type { Session } from './session.js';

/** What is known once the image is there. */
interface RecordParts {
  facts: ClusterFacts;
  image: PreparedImage;
  snapshot: Snapshot;
  git: RunRecord['code']['git'];
  runId: string;
}

/** The record of a run that is about to be submitted. `expand` turns a bind's source into a path of the cluster. */
export function renderRunRecord(
  { cluster }: Session,
  plan: Plan,
  { facts, image, snapshot, git, runId }: RecordParts,
  expand = (path: string) => expandRemotePath(path, facts, cluster.name),
): RunRecord {
  return {
    schemaVersion: 1,
    runId,
    name: plan.name,
    template: plan.template.name,
    cluster: cluster.name,
    createdAt: new Date().toISOString(),
    hpcrunVersion: packageVersion(),
    origin: { host: hostname(), projectDirectory: plan.project.directory },
    image: renderImageRecord(plan, image),
    code: {
      treeHash: snapshot.treeHash,
      listing: listingDigest(snapshot),
      files: snapshot.files.filter(({ type }) => type !== 'directory').length,
      git,
    },
    command: resolveContainerCommand(plan.command, image.info),
    containerDirectory: plan.containerDirectory,
    mount: plan.mount,
    binds: plan.binds.map((bind) => ({ ...bind, source: expand(bind.source) })),
    variables: Object.keys(plan.variables),
    ...(plan.sweep ? { sweep: plan.sweep } : {}),
    resources: plan.resources,
    ...(plan.resume === undefined ? {} : { resume: plan.resume }),
    resultsExclude: plan.project.config.results.exclude,
    root: facts.root,
    ...(facts.store === facts.root ? {} : { store: facts.store }),
    jobId: null,
  };
}

function renderImageRecord(plan: Plan, { info, parts, isNative, volumes }: PreparedImage): RunRecord['image'] {
  const [base, ...overlays] = parts.map(({ sha256, sizeBytes }) => ({ sha256, sizeBytes }));
  if (!base) throw new Error('an image has at least one part');
  return { id: info.id, tag: describeImage(plan.image), ...base, overlays, isNative, volumes };
}

/** What the job script says, from the record alone. */
export function renderScriptInput({ cluster }: Session, record: RunRecord, probesContainers = false): JobScript {
  const layout = new RemoteLayout(record.root, record.store);
  const run = layout.run(record.runId);
  const [image, ...overlays] = imageParts(layout, record);
  return {
    runId: record.runId,
    head: {
      name: record.name,
      comment: jobComment(record.runId),
      logPath: run.log,
      // Tasks make their own directories when they start.
      ...(record.sweep
        ? { logPattern: `${run.logs.replaceAll('%', '%%')}/%A_%a.log`, workingDirectory: run.directory }
        : { workingDirectory: run.work }),
      resources: resourcesOfTemplate(record.template, record.resources),
      resume: record.resume,
    },
    runDirectory: run.directory,
    imagePath: image.path,
    imageBytes: String(image.sizeBytes),
    overlays: overlays.map(({ path, sizeBytes }) => ({ path, bytes: String(sizeBytes) })),
    volumes: record.image.volumes,
    isNative: record.image.isNative,
    containersFile: probesContainers ? layout.containers : undefined,
    binds: record.binds,
    mount: record.mount,
    containerDirectory: record.containerDirectory,
    modules: jobModules(cluster),
    rules: cluster.slurm ?? {},
    sbatch: cluster.slurm?.commands?.sbatch,
    containerCommand: cluster.container?.command,
    proxy: cluster.proxy?.https ?? cluster.proxy?.http,
    computeInternet: cluster.computeInternet,
    launcher: cluster.slurm?.launcher,
    rendezvousSuffix: cluster.slurm?.rendezvousSuffix,
    processesPerNode: processesPerNode(record.resources),
    command: record.sweep ? [] : record.command,
    ...(record.sweep ? { sweep: { snapshot: layout.snapshot(record.code.treeHash) } } : {}),
    hpcrunVersion: record.hpcrunVersion,
  };
}

/** What a job loads: the container's modules and the user's. */
export function jobModules({ container, modules }: Pick<Session['cluster'], 'container' | 'modules'>): string[] {
  return [...(container?.modules ?? []), ...(modules ?? [])];
}
