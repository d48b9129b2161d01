import { hostname } from 'node:os';
import { join, posix } from 'node:path';
import { RemoteLayout } from '../cluster/layout.js';
import { expandRemotePath, type ClusterFacts } from '../cluster/probe.js';
import { takeSnapshot, type Snapshot } from '../cluster/snapshot.js';
import { HpcrunError } from '../errors.js';
import { resolveContainerCommand } from '../image/container-command.js';
import { splitEnvironment } from '../image/container-metadata.js';
import { convertImage } from '../image/convert.js';
import { DockerEngine } from '../image/docker-engine.js';
import type { ImageInfo } from '../image/engine.js';
import { SifCache, type CachedImage } from '../image/sif-cache.js';
import { packageVersion } from '../package-directory.js';
import { formatBytes, withStep } from '../progress.js';
import { loadTemplate, renderJobScript, type JobScript } from '../slurm/job-script.js';
import { jobComment } from '../slurm/query.js';
import type { Connection } from '../ssh/connection.js';
import { uploadFile } from '../transfer/upload-file.js';
import { readGitState } from './git-state.js';
import { describeCommand, type Plan } from './plan.js';
import type { RunRecord } from './record.js';
import { makeRunId } from './run-id.js';
import type { Session } from './session.js';
import { submitToCluster, type SubmissionResult } from './submission.js';

// Code up to this size is sent along without asking whether the cluster has it: cheaper than a round trip.
const optimisticBytes = 1e6;

/** Which steps had to be done; false where what was there could be used. */
export interface StepsDone {
  built: boolean;
  converted: boolean;
  uploaded: boolean;
}

export interface SubmittedRun extends StepsDone {
  record: RunRecord;
  jobId: string;
}

/**
 * The whole way: build, convert, upload, snapshot, sbatch. The login comes first, because a cluster that cannot be
 * reached should be known before an image is built for it.
 */
export async function submitRun(session: Session, plan: Plan): Promise<SubmittedRun> {
  const facts = await session.facts(remotePaths(plan));
  const connection = await withStep(
    session.progress,
    `Connecting to ${session.cluster.name}`,
    () => session.connect(),
    (opened) => `Connected to ${session.cluster.name} (${opened.description})`,
  );
  const snapshot = await snapshotProject(session, plan);
  const { info, built } = await buildImage(session, plan);
  requireArchitecture(info, facts, session.cluster.name);
  const { image, converted } = await obtainSif(session, info);

  const record = await renderRunRecord(session, plan, { facts, info, image, snapshot, runId: makeRunId(new Date()) });
  const jobScript = renderJobScript(await loadTemplate('single'), renderScriptInput(session, record));
  const submission = { record, jobScript, variables: plan.variables, snapshot };
  const sendCode = snapshot.sizeBytes < optimisticBytes && !(await hasSentTree(session, snapshot.treeHash));
  const { jobId, uploaded } = await withUploads(session, connection, { image, record, sendCode }, async (withCode) => {
    // The record goes before the job, so that a job is never lost from sight; it stays unless the answer is a clear no.
    await session.records.save(record);
    let isKept = false;
    try {
      const layout = new RemoteLayout(facts.root);
      const result = await submitToCluster(connection, layout, submission, { withCode, signal: session.signal });
      isKept = result.kind === 'submitted';
      return result;
    } catch (error) {
      isKept = !(error instanceof HpcrunError) || ['SUBMISSION_UNCERTAIN', 'INTERRUPTED'].includes(error.code);
      throw error;
    } finally {
      if (!isKept) await session.records.remove(record.runId);
    }
  });
  const submitted = { ...record, jobId };
  await session.records.save(submitted);
  return { record: submitted, jobId, built, converted, uploaded };
}

/** Whether this machine has submitted the same tree to this cluster before, so that it is most likely still there. */
async function hasSentTree(session: Session, treeHash: string): Promise<boolean> {
  const records = await session.records.list();
  return records.some(({ code, jobId }) => code.treeHash === treeHash && jobId !== null);
}

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
  const facts: ClusterFacts = { root: session.cluster.root, home: '~', architecture: 'amd64', variables: {} };
  const image = { path: '', sha256: '<sha256>', sizeBytes: 0 };
  const info: ImageInfo = {
    ...emptyImage,
    ...(plan.command.kind === 'image' ? { command: ["<the image's ENTRYPOINT and CMD>"] } : {}),
  };
  const record = await renderRunRecord(
    session,
    plan,
    { facts, info, image, snapshot, runId: makeRunId(new Date()) },
    (path) => path,
  );
  return {
    runId: record.runId,
    command: describeCommand(plan.command),
    steps: [
      `build ${plan.build.dockerfile} as ${plan.build.tag}`,
      `convert it to a SIF with ${session.cluster.compression}, unless this image has been converted before`,
      `copy it to ${session.cluster.name} (${session.cluster.host}), unless it is there`,
      `send ${snapshot.files.length} files of ${plan.project.directory} (${formatBytes(snapshot.sizeBytes)}), unless this tree is there`,
      'submit the script below with sbatch; ~, variables of the cluster and <…> in it are filled in then',
    ],
    script: renderJobScript(await loadTemplate('single'), {
      ...renderScriptInput(session, record),
      imageBytes: '<size>',
    }),
  };
}

const emptyImage: ImageInfo = {
  id: '',
  os: 'linux',
  architecture: 'amd64',
  entrypoint: [],
  command: [],
  environment: [],
  workingDirectory: '',
  user: '',
  labels: {},
};

function remotePaths(plan: Plan): string[] {
  return plan.binds.map(({ source }) => source);
}

async function buildImage(session: Session, plan: Plan): Promise<{ info: ImageInfo; built: boolean }> {
  const engine = new DockerEngine();
  const { signal } = session;
  const before = await engine.inspect(plan.build.tag, { signal });
  return await withStep(
    session.progress,
    'Building the image',
    async (step) => {
      const onOutput = (line: string) => {
        step.output(line);
      };
      const id = await engine.build(plan.build, { signal, onOutput });
      const info = await engine.inspect(id, { signal });
      if (!info)
        throw new HpcrunError('BUILD_FAILED', `the image ${id} vanished after it was built`, {
          hint: 'Run the command again.',
        });
      return { info, built: before?.id !== info.id };
    },
    ({ built }) => (built ? `Built ${plan.build.tag}` : 'Image unchanged'),
  );
}

function requireArchitecture(info: ImageInfo, facts: ClusterFacts, clusterName: string): void {
  if (info.os === 'linux' && info.architecture === facts.architecture) return;
  throw new HpcrunError(
    'PLATFORM_MISMATCH',
    `the image is for ${info.os}/${info.architecture}, ${clusterName} is linux/${facts.architecture}`,
    { hint: `Build it for the cluster: FROM --platform=linux/${facts.architecture} … in the Dockerfile.` },
  );
}

async function obtainSif(session: Session, info: ImageInfo): Promise<{ image: CachedImage; converted: boolean }> {
  const { compression } = session.cluster;
  const { dockerOnly } = splitEnvironment(info);
  if (dockerOnly.length > 0) {
    session.progress.warn(
      `The image's ENV ${dockerOnly.join(', ')} cannot be set by a shell and will be missing in the job.`,
    );
  }
  const cache = new SifCache(join(session.inputs.directories.cache, 'sif'));
  const cached = await cache.find(info.id, compression);
  if (cached) return { image: cached, converted: false };
  return await withStep(
    session.progress,
    'Converting to SIF',
    async (step) => {
      const temporary = await cache.temporaryPath();
      const onProgress = (bytes: number) => {
        step.update(`${formatBytes(bytes)} read`);
      };
      const converted = await convertImage(new DockerEngine(), info, temporary, {
        compression,
        signal: session.signal,
        onProgress,
      });
      return { image: await cache.store(info.id, compression, temporary, converted), converted: true };
    },
    ({ image }) => `Converted to SIF (${formatBytes(image.sizeBytes)})`,
  );
}

async function snapshotProject(session: Session, plan: Plan): Promise<Snapshot> {
  const snapshot = await takeSnapshot(plan.project.directory);
  if (snapshot.sizeBytes > 100e6) {
    session.progress.warn(
      `The project is ${formatBytes(snapshot.sizeBytes)}; data is better kept on the cluster and bound with -v, and named in .hpcrunignore.`,
    );
  }
  requireSent(plan, snapshot);
  return snapshot;
}

/** What the job needs may be on this machine and yet not be sent. Throws SCRIPT_NOT_FOUND. */
function requireSent({ command, containerDirectory, mount }: Plan, snapshot: Snapshot): void {
  const inside = posix.relative(mount, containerDirectory);
  const hint = 'git status --ignored shows what git passes over; .hpcrunignore is read, too.';
  if (inside !== '' && !snapshot.files.some(({ path }) => path === inside || path.startsWith(`${inside}/`))) {
    throw new HpcrunError(
      'SCRIPT_NOT_FOUND',
      `nothing in the directory ${inside} is sent to the cluster: all of it is ignored`,
      { hint },
    );
  }
  if (command.kind !== 'script') return;
  const script = posix.join(inside, command.path);
  if (snapshot.files.some(({ path }) => path === script)) return;
  throw new HpcrunError(
    'SCRIPT_NOT_FOUND',
    `${script} is not sent to the cluster: .gitignore or .hpcrunignore names it`,
    { hint },
  );
}

interface RecordParts {
  facts: ClusterFacts;
  info: ImageInfo;
  image: CachedImage;
  snapshot: Snapshot;
  runId: string;
}

async function renderRunRecord(
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
    image: { id: info.id, tag: plan.build.tag, sha256: image.sha256, sizeBytes: image.sizeBytes },
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

function renderScriptInput({ cluster }: Session, record: RunRecord): JobScript {
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

/** Submits; if the cluster lacks the image or the code, sends what is missing and submits again. */
async function withUploads(
  session: Session,
  connection: Connection,
  { image, record, sendCode }: { image: CachedImage; record: RunRecord; sendCode: boolean },
  submit: (withCode: boolean) => Promise<SubmissionResult>,
): Promise<{ jobId: string; uploaded: boolean }> {
  let uploaded = false;
  let withCode = sendCode;
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const result = await withStep(
      session.progress,
      'Submitting',
      () => submit(withCode),
      (done) =>
        done.kind === 'submitted'
          ? `Submitted as job ${done.jobId}`
          : `${session.cluster.name} does not have ${done.image ? 'this image' : 'this code'} yet`,
    );
    if (result.kind === 'submitted') return { jobId: result.jobId, uploaded };
    withCode ||= result.code;
    if (result.image) {
      await uploadSif(session, connection, image, record.root);
      uploaded = true;
    }
  }
  throw new HpcrunError(
    'TRANSFER_FAILED',
    `the image ${image.sha256} was copied to ${session.cluster.name} and is gone again`,
    {
      hint: 'Is something cleaning up there? Look at the cluster\'s scratch policy, or set another "root:".',
    },
  );
}

async function uploadSif(session: Session, connection: Connection, image: CachedImage, root: string): Promise<void> {
  const startedAt = Date.now();
  await withStep(
    session.progress,
    'Uploading the image',
    (step) =>
      uploadFile(
        connection,
        {
          localPath: image.path,
          sizeBytes: image.sizeBytes,
          sha256: image.sha256,
          remotePath: new RemoteLayout(root).image(image.sha256),
          mode: '0440',
        },
        {
          signal: session.signal,
          onProgress: (sent) => {
            step.update(describeTransfer(sent, image.sizeBytes, (Date.now() - startedAt) / 1000));
          },
        },
      ),
    () => `Uploaded the image (${formatBytes(image.sizeBytes)})`,
  );
}

function describeTransfer(sent: number, total: number, seconds: number): string {
  const rate = sent / Math.max(seconds, 0.1);
  const left = Math.ceil((total - sent) / Math.max(rate, 1));
  return `${Math.floor((100 * sent) / total)} %, ${formatBytes(rate)}/s, ${left} s left`;
}
