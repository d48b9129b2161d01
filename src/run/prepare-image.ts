import { join } from 'node:path';
import type { ClusterFacts } from '../cluster/probe.js';
import { HpcrunError } from '../errors.js';
import { splitEnvironment } from '../image/container-metadata.js';
import { convertImage } from '../image/convert.js';
import { DockerEngine } from '../image/docker-engine.js';
import type { ImageInfo } from '../image/engine.js';
import { SifCache, type CachedImage } from '../image/sif-cache.js';
import { formatBytes, withStep } from '../progress.js';
import type { Plan } from './plan.js';
import type { Session } from './session.js';

/** Builds the plan's image; `built` is false where the result is the image that was there. Throws BUILD_FAILED. */
export async function buildImage(session: Session, plan: Plan): Promise<{ info: ImageInfo; built: boolean }> {
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

/** Throws PLATFORM_MISMATCH, before anything is copied. */
export function requireArchitecture(info: ImageInfo, facts: ClusterFacts, clusterName: string): void {
  if (info.os === 'linux' && info.architecture === facts.architecture) return;
  throw new HpcrunError(
    'PLATFORM_MISMATCH',
    `the image is for ${info.os}/${info.architecture}, ${clusterName} is linux/${facts.architecture}`,
    { hint: `Build it for the cluster: FROM --platform=linux/${facts.architecture} … in the Dockerfile.` },
  );
}

/** The image as a SIF, from the cache if this image has been converted this way before. */
export async function obtainSif(
  session: Session,
  info: ImageInfo,
): Promise<{ image: CachedImage; converted: boolean }> {
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
