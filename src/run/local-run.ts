import { chmod, lchown, lstat, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { dirname, join, posix } from 'node:path';
import type { Snapshot } from '../cluster/snapshot.js';
import { HpcrunError, isMissing, throwIfInterrupted } from '../errors.js';
import { emptyImage, type EngineName } from '../image/engine.js';
import { formatBytes } from '../progress.js';
import {
  describeContainer,
  describeDifferences,
  scratchDirectories,
  type ContainerParts,
  type ContainerRequest,
  type LocalPlaces,
} from './describe-container.js';
import { probeEngine, type EngineFacts } from './engine-facts.js';
import { withImageFiles, type ImageFiles } from './image-files.js';
import { homeDirectory, renderGroup, renderPasswd, resolveIdentity } from './local-accounts.js';
import { resolveLocalBinds } from './local-binds.js';
import { renderRunArguments, renderRunCommand, type LocalContainer } from './local-container.js';
import { runContainer, type ProcessInputs } from './local-process.js';
import { describeImage, type ImageSource, type Plan } from './plan.js';
import { obtainImage, type ImageSession } from './obtain-image.js';
import { holdsDirectory, snapshotProject } from './project-snapshot.js';
import { defaultResultsDirectory } from './pull-results.js';
import { prepareResultsParent } from './results-directory.js';
import { makeRunId } from './run-id.js';
import { keepResults, makeWorkCopy, removeTree, type Owner } from './work-copy.js';

const abandonedAfterMs = 14 * 24 * 60 * 60 * 1000;

/** What a run on this machine needs of the outside. */
export interface LocalInputs extends ImageSession, ProcessInputs {
  caller: { uid: number | undefined; gid: number | undefined; name: string };
  cacheDirectory: string;
}

export interface LocalRun {
  runId: string;
  name: string;
  /** The job's own. */
  exitStatus: number;
  /** What it created or changed; undefined where that is nothing. */
  results: { directory: string; files: number; bytes: number } | undefined;
}

/**
 * The job of the plan in a container on this machine, under the rules of a cluster. Throws BIND_SOURCE_MISSING,
 * CODE_UNSENDABLE, SCRIPT_NOT_FOUND, BUILD_FAILED, ENGINE_FAILED and what planning the command throws.
 */
export async function runLocally(inputs: LocalInputs, plan: Plan, request: ContainerRequest): Promise<LocalRun> {
  const source = requireDockerImage(plan);
  const binds = resolveLocalBinds(plan.binds, inputs.env);
  const snapshot = await snapshotProject(inputs.progress, plan);
  const engine = await inputs.engine();
  const architecture = await engine.architecture({ signal: inputs.signal });
  const { info } = await obtainImage(inputs, plan, source, { architecture });
  const facts = await probeEngine(engine.name, inputs.signal);
  const identity = resolveIdentity(inputs.caller, inputs.env, engine.name === 'docker' && facts.isRootless);
  const runId = makeRunId(new Date());
  const places = choosePlaces(inputs, plan, runId);
  const parts: ContainerParts = {
    ...{ runId, plan, request, info, identity, binds, places },
    engine: { name: engine.name, architecture, facts },
    image: info.id,
    env: inputs.env,
  };
  const container = describeContainer(parts);
  for (const text of describeDifferences(parts)) inputs.progress.warn(text);
  // Only root can make files that belong to somebody else.
  const isRoot = inputs.caller.uid === 0 && identity.uid !== 0;
  await removeAbandoned(dirname(places.scratch));
  try {
    await makeScratch(places, parts, isRoot ? identity : undefined);
    const look = { scratch: places.scratch, signal: inputs.signal };
    await withImageFiles(engine.name, info.id, look, async (files) => {
      await requireWorkingDirectory(container, plan.mount, snapshot, files);
      await writeFile(join(places.scratch, 'passwd'), renderPasswd(await files.read('/etc/passwd'), identity));
      await writeFile(join(places.scratch, 'group'), renderGroup(await files.read('/etc/group'), identity));
    });
    return await runInCopy(inputs, parts, container, { snapshot, owner: isRoot ? identity : undefined });
  } finally {
    await removeTree(places.scratch);
  }
}

/** The command that would run the container, as words and for a shell. Touches neither the engine nor anything else. */
export async function dryRunLocally(
  inputs: LocalInputs,
  plan: Plan,
  request: ContainerRequest,
  engineName: EngineName,
): Promise<{ runId: string; argv: string[]; command: string }> {
  requireDockerImage(plan);
  await snapshotProject(inputs.progress, plan);
  const runId = makeRunId(new Date());
  const container = describeContainer({
    ...{ runId, plan, request },
    engine: { name: engineName, architecture: emptyImage.architecture, facts: assumedFacts() },
    info: {
      ...emptyImage,
      ...(plan.command.kind === 'image' ? { command: ["<the image's ENTRYPOINT and CMD>"] } : {}),
    },
    image: describeImage(plan.image),
    identity: resolveIdentity(inputs.caller, inputs.env, false),
    binds: resolveLocalBinds(plan.binds, inputs.env),
    places: choosePlaces(inputs, plan, runId),
    env: inputs.env,
  });
  return {
    runId,
    argv: [engineName, ...renderRunArguments(container)],
    command: renderRunCommand(container),
  };
}

function assumedFacts(): EngineFacts {
  return {
    cpus: cpus().length,
    memoryBytes: totalmem(),
    limits: { cpus: true, memory: true, swap: false },
    isRootless: false,
    hasGpus: true,
    hasInit: true,
    hasSelinux: false,
  };
}

/** Throws USAGE for a finished SIF. */
function requireDockerImage({ image }: Plan): Exclude<ImageSource, { kind: 'sif' }> {
  if (image.kind !== 'sif') return image;
  throw new HpcrunError('USAGE', `${image.path} is a SIF, which Docker and Podman cannot run`, {
    hint: 'Name the image it was made from in hpcrun.yaml: image: {name: IMAGE}, or try it on a cluster in containers: hpcrun sandbox up',
  });
}

/** The work copy becomes the directory of the results; scratch is under the home directory, which all engines can bind. */
function choosePlaces({ cacheDirectory }: LocalInputs, { project }: Plan, runId: string): LocalPlaces {
  return {
    work: defaultResultsDirectory(`local-${runId}`, project.directory, project.directory),
    scratch: join(cacheDirectory, 'local', runId),
  };
}

/** Removes what runs that were killed weeks ago have left behind. */
async function removeAbandoned(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const name of await readdir(directory)) {
    const { mtimeMs } = await lstat(join(directory, name));
    if (Date.now() - mtimeMs > abandonedAfterMs) await removeTree(join(directory, name));
  }
}

async function makeScratch(
  { scratch }: LocalPlaces,
  { info, identity }: ContainerParts,
  owner: Owner | undefined,
): Promise<void> {
  await mkdir(scratch, { mode: 0o700 });
  const home = homeDirectory(identity);
  for (const { name, target } of scratchDirectories(info.volumes, home)) {
    const directory = join(scratch, name);
    await mkdir(directory);
    await chmod(directory, target === home ? 0o700 : 0o1777);
    if (owner !== undefined) await lchown(directory, owner.uid, owner.gid);
  }
}

/** Docker would make a working directory that is not there; with Apptainer the job fails. Throws USAGE. */
async function requireWorkingDirectory(
  { workingDirectory, mounts }: LocalContainer,
  mount: string,
  snapshot: Snapshot,
  files: ImageFiles,
): Promise<void> {
  const below = (parent: string) => {
    const rest = posix.relative(parent, workingDirectory);
    return rest === '..' || rest.startsWith('../') ? undefined : rest;
  };
  const [nearest] = mounts
    .filter(({ target }) => below(target) !== undefined)
    .sort((a, b) => b.target.length - a.target.length);
  const rest = nearest === undefined ? '' : (below(nearest.target) ?? '');
  const isThere =
    nearest === undefined
      ? await files.hasDirectory(workingDirectory)
      : nearest.target === mount
        ? holdsDirectory(snapshot, rest)
        : await isDirectory(join(nearest.source, rest));
  if (isThere) return;
  throw new HpcrunError('USAGE', `the working directory ${workingDirectory} is not in the container`, {
    hint: 'Docker would make it; in a job it has to be there. Make it in the Dockerfile (RUN mkdir), or choose another --workdir.',
  });
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

async function runInCopy(
  inputs: LocalInputs,
  { runId, plan, places }: ContainerParts,
  container: LocalContainer,
  { snapshot, owner }: { snapshot: Snapshot; owner: Owner | undefined },
): Promise<LocalRun> {
  const { progress } = inputs;
  await prepareResultsParent(places.work);
  let exitStatus: number | undefined;
  try {
    const copy = await makeWorkCopy(snapshot, places.work, owner);
    throwIfInterrupted(inputs.signal);
    exitStatus = await runContainer(container, inputs);
    const kept = await keepResults(copy, {
      exclude: plan.project.config.results.exclude,
      mount: plan.mount,
      owner: owner === undefined ? undefined : await stat(plan.project.directory),
    });
    for (const path of kept.refused) progress.warn(`${path} was not kept: it is a link out of the directory`);
    const { files, bytes } = kept;
    return {
      ...{ runId, name: plan.name, exitStatus },
      results: files === 0 ? undefined : { directory: places.work, files, bytes },
    };
  } finally {
    // A run that has not begun leaves nothing.
    if (exitStatus === undefined) await removeTree(places.work);
  }
}

/** In a sentence, for people. */
export function describeLocalRun({ exitStatus, results }: LocalRun, shownDirectory: (path: string) => string): string {
  const ended = exitStatus === 0 ? 'Done' : `Exit status ${exitStatus}${meaningOf(exitStatus)}`;
  if (results === undefined) return `${ended}; it has not created or changed any file of the project.`;
  const { files, bytes, directory } = results;
  return `${ended}; ${files} file${files === 1 ? '' : 's'} (${formatBytes(bytes)}) in ${shownDirectory(directory)}`;
}

function meaningOf(exitStatus: number): string {
  switch (exitStatus) {
    case 126:
      return ' (not executable)';
    case 127:
      return ' (the program is not in the image)';
    case 137:
      return ' (killed; with --memory, mostly for needing more)';
    default:
      return '';
  }
}
