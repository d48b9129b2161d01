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
): Promise<{ info: ImageInfo; built: boolean }> {
  const engine = await session.engine();
  const wanted = plan.platform ?? `linux/${facts.architecture}`;
  if (source.kind === 'name') return await findOrPull(session, engine, source.name, wanted);
  const platform = await chooseOption(session, engine, wanted);
  const request = { ...source.request, ...(platform === undefined ? {} : { platform }) };
  const { signal } = session;
  const before = await engine.inspect(request.tag, { signal });
  return await withStep(
    session.progress,
    'Building the image',
    async (step) => {
      const onOutput = (line: string) => {
        step.output(line);
      };
      const id = await engine.build(request, { signal, onOutput });
      const info = await engine.inspect(id, { signal });
      if (!info)
        throw new HpcrunError('BUILD_FAILED', `the image ${id} vanished after it was built`, {
          hint: 'Run the command again.',
        });
      return { info, built: before?.id !== info.id };
    },
    ({ built }) => (built ? `Built ${request.tag}` : 'Image unchanged'),
  );
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
