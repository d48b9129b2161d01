import type { ClusterFacts } from '../cluster/probe.js';
import { HpcrunError } from '../errors.js';
import type { ContainerEngine, ImageInfo } from '../image/engine.js';
import { withStep } from '../progress.js';
import type { ImagePlan, ImageSource } from './plan.js';
import type { Session } from './session.js';

/** What getting an image needs of a session. */
export type ImageSession = Pick<Session, 'engine' | 'progress' | 'signal'>;

/** Builds, finds or pulls the plan's image; `built` is false where it was there already. Throws BUILD_FAILED or IMAGE_NOT_FOUND. */
export async function obtainImage(
  session: ImageSession,
  plan: ImagePlan,
  source: Exclude<ImageSource, { kind: 'sif' }>,
  facts: Pick<ClusterFacts, 'architecture'>,
  early?: EarlyBuild,
): Promise<{ info: ImageInfo; built: boolean }> {
  const engine = await session.engine();
  const wanted = wantedPlatform(plan, facts);
  if (source.kind === 'name') return await findOrPull(session, engine, source.name, wanted);
  return await withStep(
    session.progress,
    'Building the image',
    async (step) => {
      const onOutput = (line: string) => {
        step.output(line);
      };
      return (await early?.finish(onOutput)) ?? (await build(session, source, wanted, onOutput));
    },
    ({ built }) => (built ? `Built ${source.request.tag}` : 'Image unchanged'),
  );
}

function wantedPlatform(plan: ImagePlan, { architecture }: Pick<ClusterFacts, 'architecture'>): string {
  return plan.platform ?? `linux/${architecture}`;
}

async function build(
  session: Pick<ImageSession, 'engine' | 'signal'>,
  source: Extract<ImageSource, { kind: 'build' }>,
  wanted: string,
  onOutput: (line: string) => void,
): Promise<{ info: ImageInfo; built: boolean }> {
  const { signal } = session;
  const engine = await session.engine();
  const [platform, before] = await Promise.all([
    chooseOption(session, engine, wanted),
    engine.inspect(source.request.tag, { signal }),
  ]);
  const request = { ...source.request, ...(platform === undefined ? {} : { platform }) };
  const id = await engine.build(request, { signal, onOutput });
  if (before?.id === id) return { info: before, built: false };
  const info = await engine.inspect(id, { signal });
  if (info) return { info, built: before?.id !== info.id };
  throw new HpcrunError('BUILD_FAILED', `the image ${id} vanished after it was built`, {
    hint: 'Run the command again.',
  });
}

/** A build that goes on while the cluster is logged in to. */
export interface EarlyBuild {
  /** The build's result, and its output from the beginning; undefined if there has been none. */
  finish(onOutput: (line: string) => void): Promise<{ info: ImageInfo; built: boolean } | undefined>;
  /** Stops it: nobody wants it any more. */
  abandon(): void;
}

/**
 * Begins to build the plan's image if it has been built before, so that it is likely to take a moment: for a long build, the cluster should
 * have been reached first.
 */
export function beginBuild(
  session: Pick<ImageSession, 'engine' | 'signal'>,
  plan: ImagePlan,
  facts: Pick<ClusterFacts, 'architecture'>,
): EarlyBuild {
  const stop = new AbortController();
  const signal = AbortSignal.any([session.signal, stop.signal]);
  let listener: ((line: string) => void) | undefined;
  const lines: string[] = [];
  const onOutput = (line: string) => {
    if (listener) listener(line);
    else lines.push(line);
  };
  const { image } = plan;
  const work = async () => {
    if (image.kind !== 'build') return undefined;
    const engine = await session.engine();
    if (!(await engine.inspect(image.request.tag, { signal }))) return undefined;
    return await build({ engine: session.engine, signal }, image, wantedPlatform(plan, facts), onOutput);
  };
  const result = work();
  result.catch(() => undefined); // Whoever finishes it is told.
  return {
    finish: async (listen) => {
      for (const line of lines.splice(0)) listen(line);
      listener = listen;
      return await result;
    },
    abandon: () => {
      stop.abort();
    },
  };
}

/** Undefined where the engine's own platform is the right one: the legacy builder does not take the option everywhere. */
async function chooseOption(
  { signal }: Pick<ImageSession, 'signal'>,
  engine: ContainerEngine,
  wanted: string,
): Promise<string | undefined> {
  return wanted === `linux/${await engine.architecture({ signal })}` ? undefined : wanted;
}

/**
 * An image by its name, pulled where the engine does not have it for this platform; where it cannot be had for the platform,
 * the one that is here. Throws IMAGE_NOT_FOUND.
 */
export async function findOrPull(
  { progress, signal }: Pick<ImageSession, 'progress' | 'signal'>,
  engine: ContainerEngine,
  name: string,
  wanted: string,
): Promise<{ info: ImageInfo; built: boolean }> {
  const here = await engine.inspect(name, { signal });
  if (here && here.architecture === wanted.split('/')[1]) return { info: here, built: false };
  const platform = await chooseOption({ signal }, engine, wanted);
  try {
    return await withStep(
      progress,
      `Pulling ${name}`,
      async (step) => {
        const onOutput = (line: string) => {
          step.output(line);
        };
        await engine.pull(name, platform, { signal, onOutput });
        const info = await engine.inspect(name, { signal });
        if (!info)
          throw new HpcrunError('IMAGE_NOT_FOUND', `${engine.name} pulled ${name} and does not have it`, {
            hint: `Check with "${engine.name} images".`,
          });
        return { info, built: true };
      },
      () => `Pulled ${name}`,
    );
  } catch (error) {
    // Whoever asked sees that it is for another platform, and says so.
    if (here && error instanceof HpcrunError && error.code === 'IMAGE_NOT_FOUND') return { info: here, built: false };
    throw error;
  }
}

/** Throws PLATFORM_MISMATCH, before anything is copied. */
export function requireArchitecture(
  info: Pick<ImageInfo, 'os' | 'architecture'>,
  facts: Pick<ClusterFacts, 'architecture'>,
  clusterName: string,
): void {
  if (info.os === 'linux' && info.architecture === facts.architecture) return;
  throw new HpcrunError(
    'PLATFORM_MISMATCH',
    `the image is for ${info.os}/${info.architecture}, ${clusterName} is linux/${facts.architecture}`,
    {
      hint: `Build it for the cluster: image: {platform: linux/${facts.architecture}} in hpcrun.yaml, or FROM --platform=linux/${facts.architecture} … in the Dockerfile.`,
    },
  );
}
