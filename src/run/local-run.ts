import { mkdir, stat, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import type { Snapshot } from '../cluster/snapshot.js';
import { HpcrunError, isMissing, throwIfInterrupted } from '../errors.js';
import { emptyImage, type EngineName } from '../image/engine.js';
import { formatBytes } from '../progress.js';
import {
  describeContainer,
  describeDifferences,
  type ContainerParts,
  type ContainerRequest,
  type LocalPlaces,
} from './describe-container.js';
import { probeEngine, type EngineFacts } from './engine-facts.js';
import { withImageFiles, type ImageFiles } from './image-files.js';
import { renderGroup, renderPasswd, resolveIdentity } from './local-accounts.js';
import { resolveLocalBinds } from './local-binds.js';
import { renderRunArguments, renderRunCommand, type LocalContainer } from './local-container.js';
import { findMountPoints, pathInside } from './local-mount-points.js';
import { runContainer, type ProcessInputs } from './local-process.js';
import { makeScratch, removeAbandoned } from './local-scratch.js';
import { describeImage, type ImageSource, type Plan } from './plan.js';
import { obtainImage, type ImageSession } from './obtain-image.js';
import { holdsDirectory, snapshotProject } from './project-snapshot.js';
import { defaultResultsDirectory } from './pull-results.js';
import { prepareResultsParent } from './results-directory.js';
import { makeRunId } from './run-id.js';
import { keepResults, makeWorkCopy, removeTree, type Owner } from './work-copy.js';

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
  // Only root can make files that belong to somebody else.
  const owner = inputs.caller.uid === 0 && identity.uid !== 0 ? identity : undefined;
  await removeAbandoned(dirname(places.scratch));
  try {
    await mkdir(places.scratch, { mode: 0o700 });
    const look = { scratch: places.scratch, signal: inputs.signal };
    const { parts, container } = await withImageFiles(engine.name, info, look, async (files) => {
      const parts: ContainerParts = {
        ...{ runId, plan, request, info, identity, binds, places },
        engine: { name: engine.name, architecture, facts },
        filledVolumes: await findFilled(info.volumes, files),
        image: info.id,
        env: inputs.env,
      };
      const container = describeContainer(parts);
      await requireWorkingDirectory(container, plan.mount, snapshot, files);
      await writeFile(join(places.scratch, 'passwd'), renderPasswd(await files.read('/etc/passwd'), identity));
      await writeFile(join(places.scratch, 'group'), renderGroup(await files.read('/etc/group'), identity));
      return { parts, container };
    });
    for (const text of describeDifferences(parts)) inputs.progress.warn(text);
    await makeScratch(parts, container, owner);
    return await runInCopy(inputs, parts, container, { snapshot, owner });
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
    filledVolumes: [],
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

async function findFilled(volumes: string[], files: ImageFiles): Promise<string[]> {
  const filled: string[] = [];
  for (const path of volumes) if (!(await files.isEmpty(path))) filled.push(path);
  return filled;
}

/** Docker would make a working directory that is not there; with Apptainer the job fails. Throws USAGE. */
async function requireWorkingDirectory(
  { workingDirectory, mounts }: LocalContainer,
  mount: string,
  snapshot: Snapshot,
  files: ImageFiles,
): Promise<void> {
  const below = (parent: string) => pathInside(parent, workingDirectory);
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
  const keeper = owner === undefined ? undefined : await stat(plan.project.directory);
  await prepareResultsParent(places.work, keeper);
  let hasBegun = false;
  let exitStatus: number | undefined;
  try {
    const mountPoints = findMountPoints(container.mounts, plan.mount);
    const copy = await makeWorkCopy(snapshot, places.work, { mountPoints, owner });
    throwIfInterrupted(inputs.signal);
    hasBegun = true;
    exitStatus = await runContainer(container, inputs);
    const { exclude } = plan.project.config.results;
    const kept = await keepResults(copy, { exclude, mount: plan.mount, owner: keeper });
    for (const path of kept.refused) progress.warn(`${path} was not kept: it is a link out of the directory`);
    const { files, bytes } = kept;
    return {
      ...{ runId, name: plan.name, exitStatus },
      results: files === 0 ? undefined : { directory: places.work, files, bytes },
    };
  } catch (error) {
    const isRefused = error instanceof HpcrunError && error.code === 'ENGINE_FAILED';
    // A run that has not begun leaves nothing; what a job may have written is never removed.
    if (hasBegun && !isRefused) progress.warn(describeLeftCopy(places.work, exitStatus));
    else await removeTree(places.work);
    throw error;
  }
}

function describeLeftCopy(directory: string, exitStatus: number | undefined): string {
  const ended = exitStatus === undefined ? 'The job had begun' : `The job ended with exit status ${exitStatus}`;
  return `${ended}; what it wrote is in ${directory}, a copy of the whole project.`;
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
