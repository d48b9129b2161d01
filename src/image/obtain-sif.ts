import { formatBytes, withStep, type Progress } from '../progress.js';
import { conversionDirectories, convertImage } from './convert.js';
import type { ContainerEngine, ImageInfo } from './engine.js';
import { partBytes, type CachedImage, type Recipe, type SifCache } from './sif-cache.js';
import { convertStacked } from './stack.js';

export interface SifRequest {
  engine: ContainerEngine;
  info: ImageInfo;
  /** What the image is called, for people. */
  name: string;
  recipe: Recipe;
  /** Whether it may be a base with overlays, or has to be one SIF. */
  overlays: boolean;
  /** Convert all of it, whatever has been converted before. */
  noCache: boolean;
  /** Where the project will be mounted, if that is known. */
  mountPoint?: string;
  cache: SifCache;
  /** Above this, what was used longest ago goes from the cache. */
  cacheBytes: number;
  progress: Progress;
  signal: AbortSignal;
}

export interface ObtainedSif {
  image: CachedImage;
  /** Whether anything had to be done. */
  how: 'cached' | 'stacked' | 'converted';
}

/**
 * An image as a SIF: from the cache if this image has been converted this way before; otherwise as what it differs in from a
 * similar one, where that is possible; otherwise as a whole.
 */
export async function obtainSif(request: SifRequest): Promise<ObtainedSif> {
  const { info, recipe, overlays, noCache, cache, cacheBytes, progress } = request;
  if (!noCache) {
    const image = await cache.find({ imageId: info.id, architecture: info.architecture }, recipe, { overlays });
    if (image) return { image, how: 'cached' };
  }
  const obtained = await withStep(
    progress,
    'Converting to SIF',
    async (step): Promise<ObtainedSif & { summary: string }> => {
      let why: string | undefined;
      if (overlays && !noCache) {
        const stacked = await convertStacked({ ...request, ...recipe });
        if (stacked.kind === 'stacked') {
          const { changed, removed } = stacked.difference;
          const size = formatBytes(stacked.image.parts.at(-1)?.sizeBytes ?? 0);
          const summary = `Converted what has changed: ${changed.length} entries, ${removed.length} gone (${size})`;
          return { image: stacked.image, how: 'stacked', summary };
        }
        why = stacked.why;
      }
      const image = await convertWhole(request, (bytes) => {
        step.update(`${formatBytes(bytes)} read`);
      });
      const summary = `Converted to SIF (${formatBytes(partBytes([image]))})`;
      return {
        image,
        how: 'converted',
        summary: why === undefined ? summary : `${summary}; all of it, because ${why}`,
      };
    },
    ({ summary }) => summary,
  );
  const { images } = await cache.trim(cacheBytes);
  if (images.length > 0)
    progress.note(`Removed ${images.length} images from the cache, which may hold ${formatBytes(cacheBytes)}.`);
  return obtained;
}

async function convertWhole(
  { engine, info, name, recipe, cache, signal }: SifRequest,
  onProgress: (bytes: number) => void,
): Promise<CachedImage> {
  const temporary = await cache.temporaryPath();
  const { survey, ...converted } = await convertImage(engine, info, temporary, { ...recipe, signal, onProgress });
  const directories = conversionDirectories(info);
  const { id: imageId, architecture, layers } = info;
  return await cache.store(
    { imageId, architecture, name, ...recipe, layers, directories, survey, overlayBytes: 0 },
    [],
    {
      ...converted,
      temporary,
    },
  );
}
