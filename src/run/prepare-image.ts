import { join } from 'node:path';
import { learnContainers, type ContainerFacts } from '../cluster/containers.js';
import { RemoteLayout } from '../cluster/layout.js';
import type { ClusterFacts } from '../cluster/probe.js';
import { HpcrunError } from '../errors.js';
import type { ConvertedImage } from '../image/convert.js';
import { digestOnce } from '../image/digest-cache.js';
import type { ImageInfo } from '../image/engine.js';
import { obtainSif } from '../image/obtain-sif.js';
import { highestCuda } from '../image/cuda-driver.js';
import { reportParity, type ParityFinding } from '../image/parity.js';
import { SifCache, type Recipe } from '../image/sif-cache.js';
import { readSifInfo } from '../image/sif-file.js';
import { chooseWay, makeWays } from './conversion/choose.js';
import { KnownConversions } from './conversion/known-conversions.js';
import { obtainConverted } from './conversion/obtain-converted.js';
import type { ApptainerWay, WayIn } from './conversion/way-in.js';
import { obtainImage, requireArchitecture, type EarlyBuild } from './obtain-image.js';
import { describeImage, type ImagePlan } from './plan.js';
import { chunkIndexes } from './chunk-indexes.js';
import type { Session } from './session.js';

/** A file an image consists of on the cluster; `path` is where it is here, undefined if it is only there. */
export interface ImagePart extends ConvertedImage {
  path: string | undefined;
}

/** An image that is ready to be sent, or is there already. */
export interface PreparedImage {
  info: ImageInfo;
  /** The SIF, and overlays to be mounted over it, the lowest first. */
  parts: ImagePart[];
  /** Whether the image's environment is in the SIF as it is. */
  isNative: boolean;
  /** VOLUME directories that are empty in the image. */
  volumes: string[];
  /** Whether a job has to find out what containers can do on the cluster. */
  probesContainers: boolean;
  /** To be called if an image that is only on the cluster is gone from there, so that it is made anew. */
  forget?: () => Promise<void>;
  built: boolean;
  converted: boolean;
}

/**
 * Builds or finds the plan's image and converts it for the cluster. Throws PLATFORM_MISMATCH before anything is converted,
 * and what building and converting throw.
 */
export async function prepareImage(
  session: Session,
  plan: ImagePlan,
  facts: ClusterFacts,
  early?: EarlyBuild,
): Promise<PreparedImage> {
  const { image: source } = plan;
  if (source.kind === 'sif') return await useSif(session, source.path, facts);
  const { info, built } = await obtainImage(session, plan, source, facts, early);
  requireArchitecture(info, facts, session.cluster.name);
  const { cluster, signal } = session;
  const containers = await learnContainers(
    cluster,
    new RemoteLayout(facts.root, facts.store),
    await session.connect(),
    signal,
  );
  const recipe: Recipe = {
    // Every Apptainer reads gzip; zstd has to be known to work there.
    compression: cluster.compression ?? (containers?.zstd === true ? 'zstd' : 'gzip'),
    permissions: plan.permissions,
  };
  const overlays = cluster.overlays ?? containers?.overlays ?? false;
  const cache = new SifCache(join(session.inputs.directories.cache, 'sif'));
  const made = { info, built, probesContainers: containers === undefined };
  // What is there needs no way to be made.
  const isThere =
    !plan.noCache &&
    ['auto', 'native'].includes(plan.conversion) &&
    (await cache.find({ imageId: info.id, architecture: info.architecture }, recipe, { overlays })) !== undefined;
  const way = isThere ? undefined : await chooseConversion(session, plan, recipe);
  if (way && way.name !== 'native') return { ...made, ...(await convertWithApptainer(session, plan, info, way)) };
  const { image, how } = await obtainSif({
    engine: await session.engine(),
    info,
    name: describeImage(source),
    recipe,
    overlays,
    mountPoint: plan.mount,
    noCache: plan.noCache,
    cache,
    cacheBytes: session.inputs.cacheBytes,
    progress: session.progress,
    signal,
  });
  const [base] = image.parts;
  // Right after it was made it is still in memory; the upload that follows wants to know.
  if (how === 'converted' && base)
    await chunkIndexes(session.inputs.directories).obtain(base.path, base.sha256, signal);
  const node = describeNode(facts, containers);
  const findings = reportParity({ info, survey: image.survey, permissions: plan.permissions, node });
  reportDifferences(session, findings, (plan.resources.gpus?.count ?? 0) > 0);
  // A VOLUME within the project is the project's: what the job writes there is a result.
  const isOfProject = (path: string) => `${path}/`.startsWith(`${plan.mount}/`);
  const volumes = info.volumes.filter((path) => !image.survey.filledVolumes.includes(path) && !isOfProject(path));
  return { ...made, parts: image.parts, isNative: true, volumes, converted: how !== 'cached' };
}

async function chooseConversion(session: Session, plan: ImagePlan, { compression }: Recipe): Promise<WayIn> {
  const ways = makeWays({
    engine: session.engine,
    connect: session.connect,
    layout: () => session.layout(),
    cluster: session.cluster,
    compression,
    resources: plan.resources,
    env: session.inputs.env,
  });
  const { way, why } = await chooseWay(plan.conversion, ways, session.signal);
  // What everybody has needs no explanation.
  if (way.name !== 'native' || plan.conversion === 'native') session.progress.note(`Conversion ${why}`);
  return way;
}

/** Apptainer's own conversion evaluates ENV in a shell, so that the job has to bring the values itself. */
async function convertWithApptainer(
  { cluster, inputs, progress, signal }: Session,
  plan: ImagePlan,
  info: ImageInfo,
  way: ApptainerWay,
): Promise<Pick<PreparedImage, 'parts' | 'isNative' | 'volumes' | 'converted' | 'forget'>> {
  const known = new KnownConversions({
    stateDirectory: cluster.stateDirectory,
    fileDirectory: join(inputs.directories.cache, 'apptainer'),
    limitBytes: inputs.cacheBytes,
  });
  const options = { known, noCache: plan.noCache, clusterName: cluster.name, progress, signal };
  const { file, converted } = await obtainConverted(way, info, options);
  const { sha256, sizeBytes } = file;
  const path = file.place === 'local' ? file.path : undefined;
  const forget = () => known.forget(info.id, way);
  return { parts: [{ sha256, sizeBytes, path }], isNative: false, volumes: [], converted, forget };
}

/**
 * Says what will differ from `docker run`. Throws IMAGE_UNSUITABLE where no job can succeed; what is known of one node only
 * is a warning, because the job may get another.
 */
function reportDifferences({ progress }: Session, findings: ParityFinding[], usesGpu: boolean): void {
  const fatal = findings.find(({ code, severity }) => code === 'ARCHITECTURE' && severity === 'error');
  if (fatal) throw new HpcrunError('IMAGE_UNSUITABLE', fatal.differs, { hint: fatal.advice ?? fatal.done });
  for (const { code, severity, differs, done } of findings) {
    if (severity === 'note' || (code === 'CUDA_DRIVER' && !usesGpu)) continue;
    progress.warn(`${differs} ${done}`);
  }
}

function describeNode({ architecture }: ClusterFacts, containers: ContainerFacts | undefined) {
  if (!containers) return { architecture };
  const cudaDriver = highestCuda(containers.driver);
  return { architecture, kernel: containers.kernel, ...(cudaDriver === undefined ? {} : { cudaDriver }) };
}

async function useSif(session: Session, path: string, facts: ClusterFacts): Promise<PreparedImage> {
  const info = await readSifInfo(path);
  requireArchitecture(info, facts, session.cluster.name);
  const digests = join(session.inputs.directories.cache, 'digests');
  const { sha256, sizeBytes } = await digestOnce(path, digests, session.signal);
  const named = { ...info, id: `sha256:${sha256}` };
  return {
    info: named,
    parts: [{ sha256, sizeBytes, path }],
    isNative: true,
    volumes: [],
    probesContainers: false,
    built: false,
    converted: false,
  };
}
