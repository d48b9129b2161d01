import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { runRemote } from '../ssh/remote-script.js';
import { renderFarListing } from './far-listing-script.js';
import { parseFarListing, type FarListing } from './far-listing.js';
import { removeItems, type PruneResult } from './prune-act.js';
import { planPrune, type PruneChoice, type PruneItem, type PrunePlan } from './prune-plan.js';
import { defaultResultsDirectory } from './pull-results.js';
import type { Session } from './session.js';

// Counting large trees on a parallel file system takes its time.
const listingTimeoutMs = 30 * 60 * 1000;

/** What a cluster's root and store hold, from one remote command. */
export async function listFarSide(session: Session, options: { withRunSizes: boolean }): Promise<FarListing> {
  const layout = await session.layout();
  const { stdout } = await runRemote(
    await session.connect(),
    'looking at what is stored',
    renderFarListing(layout, options),
    {
      timeoutMs: listingTimeoutMs,
      signal: session.signal,
    },
  );
  return parseFarListing(stdout.toString('utf8'));
}

export interface FarPrune extends PrunePlan {
  beforeBytes: number;
  /** How many of the runs that would go have results that were not pulled to the usual place on this machine. */
  notPulled: number;
}

/** Decides what would go from a cluster; touches nothing. */
export async function prepareFarPrune(session: Session, choice: PruneChoice): Promise<FarPrune> {
  const listing = await listFarSide(session, { withRunSizes: choice.olderThanSeconds !== undefined });
  const plan = planPrune(listing, choice);
  return { ...plan, beforeBytes: listing.totalBytes, notPulled: await countNotPulled(session, plan.items) };
}

/** Carries out a plan. What this machine knows of the runs that went goes, too. */
export async function carryOutFarPrune(
  session: Session,
  items: PruneItem[],
  options: { withRunSizes: boolean },
): Promise<PruneResult> {
  const result = await removeItems(await session.connect(), await session.layout(), items, {
    ...options,
    signal: session.signal,
  });
  for (const { kind, name } of result.removed) if (kind === 'run') await session.records.remove(name);
  return result;
}

async function countNotPulled(session: Session, items: PruneItem[]): Promise<number> {
  let count = 0;
  for (const { kind, name } of items) {
    if (kind !== 'run') continue;
    const origin = (await session.records.load(name))?.origin;
    const isPulled =
      origin?.host === hostname() &&
      existsSync(defaultResultsDirectory(name, origin.projectDirectory, origin.projectDirectory));
    if (!isPulled) count += 1;
  }
  return count;
}
