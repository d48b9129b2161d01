import { join } from 'node:path';
import { HpcrunError } from '../errors.js';
import { parseTime } from '../config/quantities.js';
import { partBytes, SifCache, type CacheListing } from '../image/sif-cache.js';
import { formatBytes, formatDuration } from '../progress.js';
import { loadImageSettings, makeContext, type CommonOptions } from './context.js';
import { printJson, printLine, renderTable } from './output.js';

/** `hpcrun images`: what has been converted on this machine. */
export async function imagesCommand(options: CommonOptions): Promise<number> {
  const context = makeContext(options);
  const images = await new SifCache(join(context.directories.cache, 'sif')).list();
  const { cacheBytes } = await loadImageSettings(context, options, undefined);
  if (options.json) {
    for (const image of images) printJson(imageObject(image));
    return 0;
  }
  if (images.length === 0) {
    context.terminal.note('Nothing has been converted on this machine yet: hpcrun convert IMAGE OUT.sif');
    return 0;
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
  return 0;
}

function overlaysOf({ parts }: CacheListing): string {
  const sizes = parts.slice(1).map(({ sizeBytes }) => formatBytes(sizeBytes));
  return sizes.length === 0 ? '-' : sizes.join(' + ');
}

function imageObject(image: CacheListing): { type: string } & Record<string, unknown> {
  const { name, imageId, compression, permissions, usedAt } = image;
  const parts = image.parts.map(({ sha256, sizeBytes, path }) => ({ sha256, sizeBytes, path }));
  return { type: 'image', name, imageId, compression, permissions, usedAt: usedAt.toISOString(), parts };
}

export interface PruneOptions extends CommonOptions {
  olderThan?: string;
  all?: boolean;
  dryRun?: boolean;
}

/** `hpcrun prune`: removes converted images from this machine; those in use come back with the next conversion. */
export async function pruneCommand(options: PruneOptions): Promise<number> {
  const context = makeContext(options);
  const cache = new SifCache(join(context.directories.cache, 'sif'));
  const before = partBytes(await cache.list());
  const { cacheBytes } = await loadImageSettings(context, options, undefined);
  const limits = parsePruning(options);
  const { images, bytes } = await cache.trim(limits ? 0 : cacheBytes, {
    ...(limits ? { olderThan: limits } : {}),
    dryRun: options.dryRun === true,
  });
  if (options.json) {
    for (const image of images) printJson({ ...imageObject(image), type: 'pruned' });
    printJson({ type: 'prune', dryRun: options.dryRun === true, beforeBytes: before, afterBytes: before - bytes });
    return 0;
  }
  const verb = options.dryRun === true ? 'Would remove' : 'Removed';
  for (const { name, imageId } of images) printLine(`${verb} ${name} (${imageId.replace('sha256:', '').slice(0, 12)})`);
  context.terminal.note(
    images.length === 0
      ? `Nothing to remove: ${formatBytes(before)} of ${formatBytes(cacheBytes)}. Everything goes with --all.`
      : `${formatBytes(before)} before, ${formatBytes(before - bytes)} ${options.dryRun === true ? 'then' : 'now'}.`,
  );
  return 0;
}

/** Images used before this go; undefined for as many as are too much for the cache. */
function parsePruning({ olderThan, all }: PruneOptions): Date | undefined {
  if (all === true) return new Date();
  if (olderThan === undefined) return undefined;
  const seconds = parseTime(olderThan);
  if (seconds !== undefined) return new Date(Date.now() - seconds * 1000);
  throw new HpcrunError('USAGE', `--older-than "${olderThan}" is not a time`, { hint: '--older-than 30d' });
}
