import { HpcrunError, throwIfInterrupted } from '../errors.js';
import { conversionDirectories } from './convert.js';
import { convertOverlay } from './convert-overlay.js';
import type { ContainerEngine, ImageInfo } from './engine.js';
import type { RootfsSurvey } from './rootfs-survey.js';
import type { CachedImage, Recipe, SifCache } from './sif-cache.js';
import { compareTrees, type TreeDifference } from './tree-difference.js';
import { listImage, parseListing, sizeOf, type Tree } from './tree-listing.js';

// Each overlay is one more mount and one more file to find at every start of a job.
const maximumOverlays = 3;

// Overlays that hold more than this part of the image are better made one SIF again.
const maximumShare = 0.2;

export type StackResult =
  | { kind: 'stacked'; image: CachedImage; difference: TreeDifference }
  /** An image cannot or should not be stacked; `why` is undefined where there is nothing to stack it on. */
  | { kind: 'refused'; why: string | undefined };

export interface StackRequest extends Recipe {
  engine: ContainerEngine;
  info: ImageInfo;
  /** What the image is called, for people. */
  name: string;
  /** Where the project will be mounted, if that is known. */
  mountPoint?: string;
  cache: SifCache;
  signal: AbortSignal;
}

/**
 * Converts an image as its difference from the most similar image in the cache. What differs is found by listing both in
 * containers, without exporting either; where that is impossible, the answer says why, and the image has to be converted
 * as a whole. Throws CONVERSION_FAILED, MKSQUASHFS_MISSING or INTERRUPTED.
 */
export async function convertStacked({
  engine,
  info,
  name,
  cache,
  signal,
  compression,
  permissions,
  mountPoint,
}: StackRequest): Promise<StackResult> {
  const closest = await cache.closest(info, { compression, permissions });
  if (!closest) return refused(undefined);
  const below = closest.parts.length <= maximumOverlays ? closest : await cache.bottom(closest);
  if (!below) return refused(`${maximumOverlays} overlays lie on its base already`);

  // Where the image below has it and this one has not, a whiteout would be in the way of the mount.
  const directories = [...conversionDirectories(info), ...(mountPoint === undefined ? [] : [mountPoint])];
  const [base, listing] = await Promise.all([treeOf(engine, below, cache, signal), listImage(engine, info, signal)]);
  const target = listing && parseListing(listing, directories);
  if (!target)
    return refused('its files cannot be listed in a container: that takes a shell and GNU find, and no VOLUME');
  if (!base) return refused('the image it resembles is gone, or cannot be listed');

  const difference = compareTrees(base, target);
  const overlayBytes = below.overlayBytes + difference.changedBytes;
  if (overlayBytes > maximumShare * contentBytes(base)) return refused('too much of it has changed');
  const temporary = await cache.temporaryPath();
  let converted;
  try {
    converted = await convertOverlay(engine, info, difference, temporary, { compression, permissions, signal });
  } catch (error) {
    throwIfInterrupted(signal);
    if (error instanceof HpcrunError && error.code === 'ENGINE_FAILED') return refused(error.message);
    throw error;
  }
  await cache.saveListing(info.id, listing);
  const { survey: change, ...file } = converted;
  const survey = mergeSurveys(below.survey, change);
  const image = await cache.store(
    {
      imageId: info.id,
      architecture: info.architecture,
      name,
      compression,
      permissions,
      layers: info.layers,
      directories,
      survey,
      overlayBytes,
    },
    below.parts,
    { ...file, temporary },
  );
  return { kind: 'stacked', image, difference };
}

/** Of a base and what lies over it. Files that have changed count twice, and those that are gone still do. */
function mergeSurveys(base: RootfsSurvey, change: RootfsSurvey): RootfsSurvey {
  const tally = (key: 'closed' | 'setuid' | 'foreign' | 'devices' | 'fifos' | 'capabilities' | 'oddNames') => ({
    count: base[key].count + change[key].count,
    samples: [...new Set([...change[key].samples, ...base[key].samples])].slice(0, 5),
  });
  return {
    ...base,
    entries: base.entries + change.entries,
    totalBytes: base.totalBytes + change.totalBytes,
    closed: tally('closed'),
    setuid: tally('setuid'),
    foreign: tally('foreign'),
    devices: tally('devices'),
    fifos: tally('fifos'),
    capabilities: tally('capabilities'),
    oddNames: tally('oddNames'),
    hasShell: base.hasShell || change.hasShell,
    ...(change.architecture === undefined ? {} : { architecture: change.architecture }),
    ...(change.minimumKernel === undefined
      ? {}
      : { minimumKernel: change.minimumKernel, refusesOlderKernels: change.refusesOlderKernels }),
    // Another release takes the place of the one before.
    cuda: change.cuda.length > 0 ? change.cuda : base.cuda,
  };
}

function refused(why: string | undefined): StackResult {
  return { kind: 'refused', why };
}

/** The files of an image, from its listing in the cache; otherwise, if the engine still has the image, from there. */
async function treeOf(
  engine: ContainerEngine,
  { imageId, directories }: CachedImage,
  cache: SifCache,
  signal: AbortSignal,
): Promise<Tree | undefined> {
  const saved = await cache.loadListing(imageId);
  const known = saved && parseListing(saved, directories);
  if (known) return known;
  const info = await engine.inspect(imageId, { signal });
  const listing = info && (await listImage(engine, info, signal));
  if (listing) await cache.saveListing(imageId, listing);
  return listing && parseListing(listing, directories);
}

function contentBytes({ entries }: Tree): number {
  let bytes = 0;
  for (const entry of entries.values()) bytes += sizeOf(entry);
  return bytes;
}
