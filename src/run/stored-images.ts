import { HpcrunError } from '../errors.js';
import { isHeld, imageItem, mayBeLive, type PruneItem } from './prune-plan.js';
import { listFarSide } from './prune.js';
import type { FarListing, StoredImage } from './far-listing.js';
import type { Session } from './session.js';

/** An image of a cluster's store and what uses it. */
export interface ListedImage extends StoredImage {
  /** How many of one's own runs that are kept there use it. */
  runs: number;
  /** How many jobs, pending or running, hold on to it: of one's own runs, and others' as far as their marks tell. */
  liveJobs: number;
}

export interface ImageInventory {
  images: ListedImage[];
  listing: FarListing;
}

/** The images of a cluster's store, the one used last first. */
export async function listStoredImages(session: Session): Promise<ImageInventory> {
  const listing = await listFarSide(session, { withRunSizes: false });
  const names = new Map<string, string>();
  for (const { image } of await session.records.list()) {
    for (const { sha256 } of [image, ...image.overlays]) names.set(sha256, image.tag);
  }
  return { images: describeImages(listing, names), listing };
}

/** Pure part of `listStoredImages`; `names` are what this machine calls images, by sha256. */
export function describeImages(listing: FarListing, names: Map<string, string>): ListedImage[] {
  const live = listing.runs.filter((kept) => mayBeLive(kept, listing));
  return listing.images
    .map((image) => {
      const needs = (kept: FarListing['runs'][number]) => kept.needs?.includes(image.sha256) === true;
      const jobs = new Set([
        ...live.filter(needs).map(({ run }) => run.jobId ?? run.runId),
        ...image.uses.flatMap((use) => use.jobs).filter((job) => listing.liveJobs.has(job)),
      ]);
      return {
        ...image,
        name: image.name ?? names.get(image.sha256),
        runs: listing.runs.filter(needs).length,
        liveJobs: jobs.size,
      };
    })
    .sort((a, b) => b.usedAt - a.usedAt);
}

export interface ImageRemoval {
  items: PruneItem[];
  images: ListedImage[];
  /** What will miss them, for people. */
  remarks: string[];
}

const hour = 3600;

/**
 * What removing images by name, beginning of an id or whole sha256 means. Throws IMAGE_NOT_STORED, IMAGE_AMBIGUOUS, and
 * IMAGE_IN_USE for what a pending or running job uses, what is another's, and, without `force`, what kept runs use.
 */
export function planRemoval({ images, listing }: ImageInventory, wanted: string[], force: boolean): ImageRemoval {
  const chosen = [...new Set(wanted.map((word) => pickImage(images, word)))];
  for (const image of chosen) requireFree(image, listing, force);
  const remarks = chosen.flatMap((image) => {
    const overlays = images.filter(
      (other) =>
        image.kind === 'sif' &&
        other.kind === 'overlay' &&
        listing.runs.some(({ needs }) => needs?.includes(image.sha256) && needs.includes(other.sha256)),
    );
    return [
      ...(image.runs > 0
        ? [`${plural(image.runs, 'run')} used ${describe(image)}; submitted again, it is sent anew.`]
        : []),
      ...(overlays.length > 0
        ? [`${plural(overlays.length, 'overlay')} on ${describe(image)} cannot be used without it.`]
        : []),
    ];
  });
  return { images: chosen, items: chosen.map(imageItem), remarks };
}

function pickImage(images: ListedImage[], wanted: string): ListedImage {
  const named = images.filter(({ name }) => name === wanted);
  const found =
    named.length > 0
      ? named
      : images.filter(({ sha256 }) => /^[0-9a-f]{4,64}$/.test(wanted) && sha256.startsWith(wanted));
  const [image] = found;
  if (image === undefined) {
    throw new HpcrunError('IMAGE_NOT_STORED', `there is no image "${wanted}" in the cluster's store`, {
      hint: '"hpcrun images" lists what is there.',
    });
  }
  if (found.length === 1) return image;
  throw new HpcrunError(
    'IMAGE_AMBIGUOUS',
    `"${wanted}" could be any of ${found.length} images: ${found.map(({ sha256 }) => shortId(sha256)).join(', ')}`,
    { hint: 'Give the ids of those you mean.' },
  );
}

function requireFree(image: ListedImage, listing: FarListing, force: boolean): void {
  const refuse = (why: string, hint: string) =>
    new HpcrunError('IMAGE_IN_USE', `${describe(image)} was not removed: ${why}`, { hint });
  if (image.owner !== listing.user) {
    throw refuse(`it belongs to ${image.owner}`, 'In a store of a group, only the owner can remove an image.');
  }
  if (image.liveJobs > 0) {
    throw refuse(
      `${plural(image.liveJobs, 'pending or running job')} use it`,
      '"hpcrun status" shows yours; cancel them first, or wait.',
    );
  }
  if (isHeld(image, listing)) {
    throw refuse('SLURM does not tell whether jobs still use it', 'Try again when squeue answers on the login node.');
  }
  const others = image.uses.filter(({ owner, usedAt }) => owner !== listing.user && listing.now - usedAt < hour);
  if (others.length > 0) {
    throw refuse(`${others.map(({ owner }) => owner).join(', ')} used it within the hour`, 'Try again later.');
  }
  if (image.runs > 0 && !force) {
    throw refuse(
      `${plural(image.runs, 'run')} that you have kept use it`,
      'With --force it goes all the same; a run that is submitted again then sends it anew.',
    );
  }
}

function describe({ name, sha256 }: ListedImage): string {
  return name === undefined ? shortId(sha256) : `${name} (${shortId(sha256)})`;
}

/** As `hpcrun images` shows it. */
export function shortId(sha256: string): string {
  return sha256.slice(0, 12);
}

/** `1 run`, `2 runs`. */
export function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
