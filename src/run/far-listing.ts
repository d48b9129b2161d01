import { z } from 'zod';
import { parseQuery, type QueriedRun } from '../slurm/query.js';
import { isRunId } from './run-id.js';

/** A SIF or an overlay in a store. Times are seconds since 1970 by the cluster's clocks. */
export interface StoredImage {
  sha256: string;
  kind: 'sif' | 'overlay';
  bytes: number;
  /** The last change or use that can be seen. */
  usedAt: number;
  owner: string;
  /** What the image was called when it was sent. */
  name: string | undefined;
  uses: ImageUse[];
}

/** A mark that a user has left beside an image. */
export interface ImageUse {
  /** Of the file. */
  name: string;
  sha256: string;
  owner: string;
  usedAt: number;
  jobs: string[];
}

/** Anything else that takes room. */
export interface FarItem {
  name: string;
  bytes: number;
  changedAt: number;
  owner: string;
}

export interface KeptRun {
  run: QueriedRun;
  /** Zero where they were not counted. */
  bytes: number;
  /** When it ended, or else when its jobs were submitted or last did something. */
  changedAt: number;
  /** sha256 of images, overlays and the snapshot; undefined where its record cannot be read. */
  needs: string[] | undefined;
}

/** What a root and its store hold. */
export interface FarListing {
  now: number;
  user: string;
  images: StoredImage[];
  /** Marks whose image is not there included. */
  uses: ImageUse[];
  /** `<sha256>.chunks` and `<sha256>.json`. */
  companions: FarItem[];
  incoming: FarItem[];
  /** Damaged images, and unfinished files of uploads and clean-ups. */
  remains: FarItem[];
  snapshots: FarItem[];
  /** `code/.new-…` and its like, named from the root. */
  leftovers: FarItem[];
  conversions: FarItem[];
  /** Files of projects that no snapshot links to. */
  unusedObjects: { count: number; bytes: number };
  runs: KeptRun[];
  /** Jobs of the marks that are pending or running. */
  liveJobs: Set<string>;
  /** Whether SLURM answered for one's own runs and for the jobs of the marks. */
  isComplete: boolean;
  /** Whether others' jobs can be seen at all. */
  seesOthers: boolean;
  /** Names that hpcrun never made. */
  oddNames: number;
  totalBytes: number;
}

const aboutSchema = z.object({ name: z.string() });

const imageName = /^([0-9a-f]{64})\.(sif|sqfs)$/;
const companionName = /^[0-9a-f]{64}\.(?:chunks|json)$/;
const incomingName = /^\.incoming-[0-9a-f]{64}(?:-\d+)?$/;
const remainsName = /^\.(?:damaged-|removing-|[0-9a-f]{64}\.).+$/;
const useName = /^([0-9a-f]{64})\.[A-Za-z0-9._@-]+$/;

/** Reads what the listing script printed. Lines and names that are not as they should be are counted and passed over. */
export function parseFarListing(text: string): FarListing {
  const at = text.indexOf('\nquery|\n');
  const { runs, isComplete } = parseQuery(at === -1 ? '' : text.slice(at + '\nquery|\n'.length));
  const lines = text.slice(0, at === -1 ? text.length : at).split('\n');
  const fields = (word: string) =>
    lines.filter((line) => line.startsWith(`${word}|`)).map((line) => line.slice(word.length + 1).split('|'));
  const one = (word: string) => fields(word)[0]?.[0];
  const user = one('user') ?? '';

  const files = fields('file').flatMap(([type, bytes, changedAt, owner = '', name = '']) =>
    type === 'f' ? [{ name, bytes: Number(bytes), changedAt: Math.floor(Number(changedAt)), owner }] : [],
  );
  const jobs = new Map<string, string[]>();
  for (const [name = '', job = ''] of fields('job')) jobs.set(name, [...(jobs.get(name) ?? []), job]);
  const uses = fields('use').flatMap(([usedAt, owner = '', name = '']): ImageUse[] => {
    const sha256 = useName.exec(name)?.[1];
    if (sha256 === undefined) return [];
    return [{ name, sha256, owner, usedAt: Math.floor(Number(usedAt)), jobs: jobs.get(name) ?? [] }];
  });
  const names = new Map(fields('about').map(([sha256 = '', ...rest]) => [sha256, parseAbout(rest.join('|'))]));
  const images = files.flatMap(({ name, bytes, changedAt, owner }): StoredImage[] => {
    const [, sha256, ending] = imageName.exec(name) ?? [];
    if (sha256 === undefined) return [];
    const own = uses.filter((use) => use.sha256 === sha256);
    return [
      {
        sha256,
        kind: ending === 'sif' ? 'sif' : 'overlay',
        bytes,
        owner,
        name: names.get(sha256),
        usedAt: Math.max(changedAt, ...own.map(({ usedAt }) => usedAt)),
        uses: own,
      },
    ];
  });
  const sized = (word: string, isOurs: (name: string) => boolean, owner?: string) =>
    fields(word).flatMap((parts): FarItem[] => {
      const [kib, changedAt] = parts;
      const name = parts.at(-1) ?? '';
      if (!isOurs(name)) return [];
      return [
        {
          name,
          bytes: Number(kib) * 1024,
          changedAt: Math.floor(Number(changedAt)),
          owner: owner ?? parts[2] ?? '',
        },
      ];
    });
  const records = new Map(fields('needs').map(([runId = '', ...rest]) => [runId, rest]));
  return {
    now: Number(one('now')),
    user,
    images,
    uses,
    companions: files.filter(({ name }) => companionName.test(name)),
    remains: files.filter(({ name }) => remainsName.test(name)),
    incoming: sized('incoming', (name) => incomingName.test(name)),
    snapshots: sized('snapshot', (name) => /^[0-9a-f]{64}$/.test(name), user),
    leftovers: sized('leftover', (name) => /^(?:code|runs|objects)\/\.new-[\w.-]+$/.test(name), user),
    conversions: sized('conversion', (name) => /^[0-9a-f]{16}$/.test(name), user),
    unusedObjects: { count: Number(one('objects') ?? 0), bytes: Number(fields('objects')[0]?.[1] ?? 0) },
    runs: runs
      .filter(({ runId }) => isRunId(runId))
      .map((run) => {
        const [kib, changedAt, needs = ''] = records.get(run.runId) ?? [];
        const list = needs.split(' ').filter((word) => /^[0-9a-f]{64}$/.test(word));
        const isKnown = list.length > 0;
        return {
          run,
          bytes: Number(kib ?? 0) * 1024,
          changedAt: Number(changedAt ?? Infinity),
          needs: isKnown ? list : undefined,
        };
      }),
    liveJobs: new Set(fields('live').flat()),
    isComplete: isComplete && at !== -1 && fields('unanswered').length === 0,
    seesOthers: fields('private').length === 0,
    oddNames: fields('odd').length + files.filter(({ name }) => !isOurs(name)).length,
    totalBytes: Number(one('total') ?? 0) * 1024,
  };
}

function isOurs(name: string): boolean {
  return [imageName, companionName, remainsName].some((pattern) => pattern.test(name));
}

function parseAbout(text: string): string | undefined {
  try {
    return aboutSchema.safeParse(JSON.parse(text)).data?.name;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
