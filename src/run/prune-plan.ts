import { isEnded } from '../slurm/states.js';
import type { FarItem, FarListing, KeptRun, StoredImage } from './far-listing.js';

const hour = 3600;
const day = 24 * hour;
const defaultAgeSeconds = 30 * day;

export interface PruneChoice {
  /** As asked for; undefined for 30 days, and no runs. */
  olderThanSeconds: number | undefined;
  /** Unused images and unfinished uploads however young they are. */
  all: boolean;
}

/** One thing that goes. The acting script knows these words. */
export interface PruneItem {
  kind:
    'run' | 'image' | 'companion' | 'upload' | 'remains' | 'snapshot' | 'objects' | 'leftover' | 'conversion' | 'use';
  /** Of the file or directory; the sha256 and ending of an image. */
  name: string;
  bytes: number;
  /**
   * The latest mark or change the decision is built on, seconds since 1970; a younger one undoes it. For uploads, how many
   * minutes nothing may have arrived.
   */
  seenAt: number;
}

export interface PrunePlan {
  items: PruneItem[];
  /** What would have gone, and why it stays, for people. */
  remarks: string[];
}

/**
 * Whether a run's job may still be pending or running: also one that SLURM does not know where SLURM did not answer.
 */
export function mayBeLive(
  { run }: KeptRun,
  { isComplete, liveJobs }: Pick<FarListing, 'isComplete' | 'liveJobs'>,
): boolean {
  // The links of a chain that are left look into its directory when their turn comes.
  if (run.otherJobIds?.some((jobId) => liveJobs.has(jobId))) return true;
  if (isEnded(run.state)) return !isComplete && run.exitCode === undefined;
  if (run.jobId !== undefined && liveJobs.has(run.jobId)) return true;
  // What has no job, or one that the queue does not know, is not live if the queue could be asked.
  return !isComplete || !['UNKNOWN', 'NOT_SUBMITTED'].includes(run.state);
}

/** Whether a job holds on to an image, by the marks on it, or may. */
export function isHeld({ uses }: StoredImage, listing: FarListing): boolean {
  const { liveJobs, isComplete, seesOthers, user } = listing;
  return uses.some(({ jobs, owner }) => {
    const isVisible = isComplete && (seesOthers || owner === user);
    return isVisible ? jobs.some((job) => liveJobs.has(job)) : jobs.length > 0;
  });
}

/** What can go, from a listing and what was asked for. Pure; runs go before what they need. */
export function planPrune(listing: FarListing, choice: PruneChoice): PrunePlan {
  const { now, user } = listing;
  const age = choice.olderThanSeconds ?? (choice.all ? 0 : defaultAgeSeconds);
  const runs = oldRuns(listing, choice.olderThanSeconds);
  const gone = new Set(runs.map(({ run }) => run.runId));
  const kept = listing.runs.filter(({ run }) => !gone.has(run.runId));
  const unreadable = kept.filter(({ needs }) => needs === undefined);
  const needed = new Set(kept.flatMap(({ needs }) => needs ?? []));
  const isOlder = (at: number, seconds: number) => now - at >= seconds;

  const unused = listing.images.filter(
    (image) =>
      unreadable.length === 0 &&
      !needed.has(image.sha256) &&
      !isHeld(image, listing) &&
      isOlder(image.usedAt, Math.max(age, hour)),
  );
  const images = unused.filter(({ owner }) => owner === user);
  const remaining = new Set(listing.images.filter((image) => !images.includes(image)).map(({ sha256 }) => sha256));
  const own = (items: FarItem[], seconds: number) =>
    items.filter(({ owner, changedAt }) => owner === user && isOlder(changedAt, seconds));
  const items: PruneItem[] = [
    ...runs.map(({ run, bytes }) => ({ kind: 'run' as const, name: run.runId, bytes, seenAt: 0 })),
    ...images.map(imageItem),
    ...own(listing.companions, hour)
      .filter(({ name }) => !remaining.has(name.slice(0, 64)))
      .map(asItem('companion')),
    ...own(listing.incoming, choice.all ? 600 : day).map((item) => ({
      ...asItem('upload')(item),
      seenAt: choice.all ? 10 : 1440,
    })),
    ...own(listing.remains, 0)
      .filter(({ name, changedAt }) => name.startsWith('.damaged-') || isOlder(changedAt, day))
      .map(asItem('remains')),
    ...own(listing.snapshots, choice.all ? hour : day)
      .filter(({ name }) => unreadable.length === 0 && !needed.has(name))
      .map(asItem('snapshot')),
    ...own(listing.leftovers, day).map(asItem('leftover')),
    ...own(listing.conversions, day).map(asItem('conversion')),
    ...staleUses(listing, remaining, age),
    ...(listing.unusedObjects.count > 0
      ? [{ kind: 'objects' as const, name: 'objects', bytes: listing.unusedObjects.bytes, seenAt: 0 }]
      : []),
  ];
  return { items, remarks: renderRemarks(listing, { unreadable, foreign: unused.length - images.length, choice }) };
}

export function imageItem({ sha256, kind, bytes, uses }: StoredImage): PruneItem {
  const seenAt = Math.max(0, ...uses.map(({ usedAt }) => usedAt));
  return { kind: 'image', name: `${sha256}.${kind === 'sif' ? 'sif' : 'sqfs'}`, bytes, seenAt };
}

function asItem(kind: PruneItem['kind']): (item: FarItem) => PruneItem {
  return ({ name, bytes, changedAt }) => ({ kind, name, bytes, seenAt: changedAt });
}

/** Runs go only when an age was given, and never while their end is in doubt. */
function oldRuns(listing: FarListing, olderThanSeconds: number | undefined): KeptRun[] {
  if (olderThanSeconds === undefined || !listing.isComplete) return [];
  return listing.runs.filter(
    (kept) => kept.needs !== undefined && !mayBeLive(kept, listing) && listing.now - kept.changedAt >= olderThanSeconds,
  );
}

/** One's own marks on images that are gone, or that were left so long ago and for jobs that have all ended. */
function staleUses(
  { uses, user, now, liveJobs, isComplete }: FarListing,
  images: Set<string>,
  age: number,
): PruneItem[] {
  return uses
    .filter(
      ({ owner, sha256, usedAt, jobs }) =>
        owner === user &&
        isComplete &&
        !jobs.some((job) => liveJobs.has(job)) &&
        now - usedAt >= (images.has(sha256) ? Math.max(age, defaultAgeSeconds) : hour),
    )
    .map(({ name, usedAt }) => ({ kind: 'use', name, bytes: 0, seenAt: usedAt }));
}

function renderRemarks(
  { isComplete, oddNames }: FarListing,
  { unreadable, foreign, choice }: { unreadable: KeptRun[]; foreign: number; choice: PruneChoice },
): string[] {
  return [
    ...(unreadable.length > 0
      ? [
          `The records of these runs cannot be read, so that nobody knows what they need; images and snapshots stay: ${unreadable.map(({ run }) => run.runId).join(', ')}`,
        ]
      : []),
    ...(isComplete ? [] : ['SLURM did not answer: runs stay, and images that jobs were started with.']),
    ...(foreign > 0 ? [`${foreign} unused images belong to others, who alone can remove them.`] : []),
    ...(oddNames > 0 ? [`${oddNames} files that are not hpcrun's are left alone.`] : []),
    ...(choice.olderThanSeconds === undefined
      ? ['Runs stay; old ones go with --older-than, such as --older-than 30d.']
      : []),
  ];
}
