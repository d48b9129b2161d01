import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FarListing, StoredImage } from '../../src/run/far-listing.js';
import { planPrune, type PruneChoice, type PruneItem } from '../../src/run/prune-plan.js';

const now = 1_800_000_000;
const day = 86_400;
const sha = (index: number) => index.toString(16).padStart(64, '0');
const shas = [0, 1, 2, 3].map(sha);
const users = ['ada', 'bob'];

const age = fc.constantFrom(0, 1, 599, 601, 3599, 3601, day - 1, day + 1, 10 * day, 31 * day, 400 * day);
const at = age.map((seconds) => now - seconds);
const jobs = fc.uniqueArray(fc.constantFrom('1', '2', '3', '4'), { maxLength: 2 });
const item = (name: fc.Arbitrary<string>) =>
  fc.uniqueArray(fc.record({ name, bytes: fc.nat(9999), changedAt: at, owner: fc.constantFrom(...users) }), {
    selector: (each) => each.name,
    maxLength: 4,
  });
const anySha = fc.constantFrom(...shas);

const uses = fc.uniqueArray(
  fc
    .tuple(anySha, fc.constantFrom(...users), at, jobs)
    .map(([sha256, owner, usedAt, ids]) => ({ name: `${sha256}.${owner}`, sha256, owner, usedAt, jobs: ids })),
  { selector: ({ name }) => name, maxLength: 8 },
);

const states = ['PENDING', 'RUNNING', 'COMPLETING', 'COMPLETED', 'FAILED', 'UNKNOWN', 'NOT_SUBMITTED'];
const run = fc
  .tuple(
    fc.integer({ min: 1000, max: 1007 }),
    fc.constantFrom(...states),
    fc.option(fc.constantFrom('1', '2', '3', '4'), { nil: undefined }),
    fc.option(fc.uniqueArray(anySha, { minLength: 1 }), { nil: undefined, freq: 8 }),
    at,
  )
  .map(([tail, state, jobId, needs, changedAt]) => ({
    run: {
      // The second link of a chain has the number after that of the first.
      otherJobIds: jobId !== undefined && tail % 2 === 0 ? [String(Number(jobId) + 1)] : undefined,
      runId: `20261122-081530-${tail}`,
      jobId,
      state,
      exitCode: undefined,
      reason: undefined,
      elapsedSeconds: undefined,
      nodes: undefined,
      startTime: undefined,
    },
    bytes: 100,
    changedAt,
    needs,
  }));

const listings: fc.Arbitrary<FarListing> = fc
  .record({
    images: fc.uniqueArray(fc.record({ sha256: anySha, owner: fc.constantFrom(...users), changedAt: at }), {
      selector: ({ sha256 }) => sha256,
    }),
    uses,
    companions: item(fc.tuple(anySha, fc.constantFrom('.chunks', '.json')).map((parts) => parts.join(''))),
    incoming: item(anySha.map((name) => `.incoming-${name}-1500`)),
    remains: item(anySha.map((name) => `.damaged-${name}.sif.1`)),
    snapshots: item(anySha),
    leftovers: item(fc.constantFrom('runs/.new-a', 'code/.new-b')),
    conversions: item(fc.constantFrom('0123456789abcdef')),
    runs: fc.uniqueArray(run, { selector: (each) => each.run.runId, maxLength: 6 }),
    liveJobs: jobs.map((ids) => new Set(ids)),
    isComplete: fc.boolean(),
    seesOthers: fc.boolean(),
    objectCount: fc.nat(3),
  })
  .map(({ images, objectCount, ...rest }) => ({
    ...rest,
    now,
    user: 'ada',
    images: images.map(({ sha256, owner, changedAt }): StoredImage => {
      const own = rest.uses.filter((use) => use.sha256 === sha256);
      const usedAt = Math.max(changedAt, ...own.map((use) => use.usedAt));
      return { sha256, kind: 'sif', bytes: 1000, owner, usedAt, name: undefined, uses: own };
    }),
    unusedObjects: { count: objectCount, bytes: objectCount * 10 },
    oddNames: 0,
    totalBytes: 0,
  }));

const choices: fc.Arbitrary<PruneChoice> = fc.record({
  olderThanSeconds: fc.option(fc.constantFrom(1, day, 30 * day), { nil: undefined }),
  all: fc.boolean(),
});

const named = (items: PruneItem[], kind: PruneItem['kind']) =>
  new Set(items.filter((each) => each.kind === kind).map(({ name }) => name));
const live = (state: string) => ['PENDING', 'RUNNING', 'COMPLETING'].includes(state);

describe('planPrune', () => {
  it('never takes what a live job needs, what was used within the hour, or what is another user’s', () => {
    fc.assert(
      fc.property(listings, choices, (listing, choice) => {
        const { items } = planPrune(listing, choice);
        const images = named(items, 'image');
        for (const kept of listing.runs) {
          const isLive =
            live(kept.run.state) ||
            kept.run.otherJobIds?.some((jobId) => listing.liveJobs.has(jobId)) === true ||
            (kept.run.jobId !== undefined &&
              listing.liveJobs.has(kept.run.jobId) &&
              ['UNKNOWN', 'NOT_SUBMITTED'].includes(kept.run.state));
          if (!isLive) continue;
          expect(named(items, 'run')).not.toContain(kept.run.runId);
          for (const need of kept.needs ?? []) {
            expect(images).not.toContain(`${need}.sif`);
            expect(named(items, 'snapshot')).not.toContain(need);
          }
        }
        for (const image of listing.images) {
          const isHeld = image.uses.some((use) => use.jobs.some((job) => listing.liveJobs.has(job)));
          const isRecent = now - image.usedAt < 3600;
          if (isHeld || isRecent || image.owner !== 'ada') expect(images).not.toContain(`${image.sha256}.sif`);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('takes no run, and nothing that a kept run needs, as long as no age is given', () => {
    fc.assert(
      fc.property(listings, fc.boolean(), (listing, all) => {
        const { items } = planPrune(listing, { olderThanSeconds: undefined, all });
        expect(named(items, 'run')).toEqual(new Set());
        for (const need of listing.runs.flatMap(({ needs }) => needs ?? [])) {
          expect(named(items, 'image')).not.toContain(`${need}.sif`);
          expect(named(items, 'snapshot')).not.toContain(need);
        }
      }),
    );
  });

  it('takes no run and no image with jobs on it where SLURM does not answer', () => {
    fc.assert(
      fc.property(listings, choices, (listing, choice) => {
        const { items } = planPrune({ ...listing, isComplete: false }, choice);
        expect(named(items, 'run')).toEqual(new Set());
        for (const image of listing.images.filter(({ uses: marks }) => marks.some((use) => use.jobs.length > 0))) {
          expect(named(items, 'image')).not.toContain(`${image.sha256}.sif`);
        }
      }),
    );
  });

  it("keeps an image with another's jobs on it where nobody sees the jobs of others", () => {
    fc.assert(
      fc.property(listings, choices, (listing, choice) => {
        const { items } = planPrune({ ...listing, seesOthers: false }, choice);
        for (const image of listing.images) {
          if (!image.uses.some(({ owner, jobs: ids }) => owner === 'bob' && ids.length > 0)) continue;
          expect(named(items, 'image')).not.toContain(`${image.sha256}.sif`);
        }
      }),
    );
  });

  it('finds nothing more to do when it has been carried out', () => {
    fc.assert(
      fc.property(listings, choices, (listing, choice) => {
        const { items } = planPrune(listing, choice);
        const without = <T>(kind: PruneItem['kind'], list: T[], name: (each: T) => string) =>
          list.filter((each) => !named(items, kind).has(name(each)));
        const goneImages = new Set([...named(items, 'image')].map((name) => name.slice(0, 64)));
        const marks = without('use', listing.uses, ({ name }) => name).filter(
          ({ sha256, owner }) => !(goneImages.has(sha256) && owner === 'ada'),
        );
        const images = without('image', listing.images, ({ sha256 }) => `${sha256}.sif`).map((image) => ({
          ...image,
          uses: marks.filter(({ sha256 }) => sha256 === image.sha256),
        }));
        const after: FarListing = {
          ...listing,
          images,
          uses: marks,
          companions: without('companion', listing.companions, ({ name }) => name).filter(
            ({ name }) => !goneImages.has(name.slice(0, 64)),
          ),
          incoming: without('upload', listing.incoming, ({ name }) => name),
          remains: without('remains', listing.remains, ({ name }) => name),
          snapshots: without('snapshot', listing.snapshots, ({ name }) => name),
          leftovers: without('leftover', listing.leftovers, ({ name }) => name),
          conversions: without('conversion', listing.conversions, ({ name }) => name),
          runs: without('run', listing.runs, (kept) => kept.run.runId),
          unusedObjects: { count: 0, bytes: 0 },
        };
        expect(planPrune(after, choice).items).toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });

  it('takes runs that ended long enough ago, and in the same go what only they needed', () => {
    const [first] = fc.sample(run, { numRuns: 1, seed: 1 });
    if (!first) throw new Error('no run');
    const [base] = fc.sample(listings, { numRuns: 1, seed: 1 });
    if (!base) throw new Error('no listing');
    const image: StoredImage = {
      sha256: sha(0),
      kind: 'sif',
      bytes: 5,
      owner: 'ada',
      usedAt: now - 9 * day,
      name: 'a',
      uses: [],
    };
    const listing: FarListing = {
      ...base,
      isComplete: true,
      images: [image],
      uses: [],
      companions: [{ name: `${sha(0)}.json`, bytes: 1, changedAt: now - 9 * day, owner: 'ada' }],
      incoming: [],
      remains: [],
      snapshots: [{ name: sha(1), bytes: 7, changedAt: now - 9 * day, owner: 'ada' }],
      leftovers: [],
      conversions: [],
      unusedObjects: { count: 0, bytes: 0 },
      liveJobs: new Set(),
      runs: [
        { ...first, run: { ...first.run, state: 'COMPLETED' }, needs: [sha(0), sha(1)], changedAt: now - 9 * day },
      ],
    };
    const kinds = (choice: PruneChoice) => planPrune(listing, choice).items.map(({ kind }) => kind);
    expect(kinds({ olderThanSeconds: 8 * day, all: false })).toEqual(['run', 'image', 'companion', 'snapshot']);
    expect(kinds({ olderThanSeconds: 10 * day, all: true })).toEqual([]);
    expect(kinds({ olderThanSeconds: undefined, all: true })).toEqual([]);
  });
});
