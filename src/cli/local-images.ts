import { join } from 'node:path';
import { partBytes, SifCache, type CacheListing } from '../image/sif-cache.js';
import { formatBytes, formatDuration } from '../progress.js';
import { loadImageSettings, type CommonOptions, type Context } from './context.js';
import { printJson, printLine, renderTable } from './output.js';

/** What has been converted on this machine. */
export async function showLocalImages(context: Context, options: CommonOptions): Promise<void> {
  const images = await cacheOf(context).list();
  const { cacheBytes } = await loadImageSettings(context, options, undefined);
  if (options.json) {
    for (const image of images) printJson(imageObject(image));
    return;
  }
  if (images.length === 0) {
    context.terminal.note('Nothing has been converted on this machine yet: hpcrun convert IMAGE OUT.sif');
    return;
  }
  const rows = images.map((image) => [
    image.name,
    image.imageId.replace('sha256:', '').slice(0, 12),
    formatBytes(image.parts[0]?.sizeBytes ?? 0),
    overlaysOf(image),
    image.compression,
    `${formatDuration((Date.now() - image.usedAt.getTime()) / 1000)} ago`,
  ]);
  printLine(renderTable(['IMAGE', 'ID', 'SIF', 'OVERLAYS', 'COMPRESSION', 'LAST USED'], rows));
  context.terminal.note(`${formatBytes(partBytes(images))} in all; the cache may hold ${formatBytes(cacheBytes)}.`);
}

/** What a clean-up of this machine is told. */
export interface LocalChoice {
  /** Images used before this go; undefined for as many as are too much for the cache. */
  olderThan: Date | undefined;
  dryRun: boolean;
}

/** Removes converted images from this machine; those in use come back with the next conversion. */
export async function pruneLocal(
  context: Context,
  options: CommonOptions,
  { olderThan, dryRun }: LocalChoice,
): Promise<void> {
  const cache = cacheOf(context);
  const before = partBytes(await cache.list());
  const { cacheBytes } = await loadImageSettings(context, options, undefined);
  const { images, bytes } = await cache.trim(olderThan ? 0 : cacheBytes, {
    ...(olderThan ? { olderThan } : {}),
    dryRun,
  });
  if (options.json) {
    for (const image of images) printJson({ ...imageObject(image), type: 'pruned' });
    printJson({ type: 'prune', place: 'local', dryRun, beforeBytes: before, afterBytes: before - bytes });
    return;
  }
  const verb = dryRun ? 'Would remove' : 'Removed';
  for (const { name, imageId } of images) printLine(`${verb} ${name} (${imageId.replace('sha256:', '').slice(0, 12)})`);
  context.terminal.note(
    images.length === 0
      ? `Nothing to remove on this machine: ${formatBytes(before)} of ${formatBytes(cacheBytes)}. Everything goes with --all.`
      : `On this machine: ${formatBytes(before)} before, ${formatBytes(before - bytes)} ${dryRun ? 'then' : 'now'}.`,
  );
}

function cacheOf(context: Context): SifCache {
  return new SifCache(join(context.directories.cache, 'sif'));
}

function overlaysOf({ parts }: CacheListing): string {
  const sizes = parts.slice(1).map(({ sizeBytes }) => formatBytes(sizeBytes));
  return sizes.length === 0 ? '-' : sizes.join(' + ');
}

function imageObject(image: CacheListing): { type: string } & Record<string, unknown> {
  const { name, imageId, compression, permissions, usedAt } = image;
  const parts = image.parts.map(({ sha256, sizeBytes, path }) => ({ sha256, sizeBytes, path }));
  return {
    type: 'image',
    place: 'local',
    name,
    imageId,
    compression,
    permissions,
    usedAt: usedAt.toISOString(),
    parts,
  };
}
