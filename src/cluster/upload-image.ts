import { hostname } from 'node:os';
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { pack as createPack } from 'tar-stream';
import { HpcrunError, throwIfInterrupted } from '../errors.js';
import type { Connection } from '../ssh/connection.js';
import { remoteFailure } from '../ssh/remote-script.js';
import type { ChunkIndexCache } from '../transfer/chunk-index-cache.js';
import { encodeIndex, type ChunkIndex } from '../transfer/chunk-index.js';
import {
  isWholePlan,
  newBytesOf,
  parsePlan,
  planDelta,
  planWhole,
  renderPlan,
  type Base,
  type Segment,
} from '../transfer/delta.js';
import { busyStatus, renderBegin, renderSurvey, storedStatus, type IncomingImage } from '../transfer/image-scripts.js';
import { parseSurvey, type Survey } from '../transfer/image-survey.js';
import type { RateLimit } from '../transfer/rate-limit.js';
import { describeOwner, isAbandoned, renderLock } from '../transfer/upload-lock.js';
import { parseSpace, renderSpaceProbe, requireRoom } from './space.js';
import { chooseBases } from './delta-bases.js';
import { sendBlocks, type SendingOptions, type UploadOutcome } from './send-blocks.js';

const attempts = 3;
const busyPollMs = 1000;

// The image, what is known of it, and what an unfinished upload consists of.
const filesMade = 20;

/** A file of an image that is to be copied to the cluster. */
export interface ImageUpload extends IncomingImage {
  localPath: string;
  /** What the image is called, for people. */
  name: string;
  /** Whether it is a SIF, which is sent as a difference from others; overlays are small and travel whole. */
  isSif: boolean;
}

export interface UploadOptions {
  indexes: ChunkIndexCache;
  limit: RateLimit;
  signal: AbortSignal;
  /** Of the bytes that have to travel, how many have, also in earlier attempts. */
  onProgress: (arrivedBytes: number, totalBytes: number) => void;
  note: (text: string) => void;
}

export interface UploadResult {
  /** False if it was there already. */
  uploaded: boolean;
  /** Of the image, without overhead. */
  sentBytes: number;
}

/**
 * Copies an image to the cluster: only what no image there has, in blocks over several channels, going on where an earlier attempt ended.
 * It is put together there, hashed, and only then gets its name. Throws REMOTE_DISK_FULL, TRANSFER_FAILED and what a connection
 * throws; what has arrived until then is kept.
 */
export async function uploadImage(
  connection: Connection,
  upload: ImageUpload,
  options: UploadOptions,
): Promise<UploadResult> {
  let sentBytes = 0;
  const send = { ...options, onSent: (bytes: number) => (sentBytes += bytes) };
  const unusable = new Set<string>();
  let waited = false;
  for (let attempt = 0; attempt < attempts;) {
    const survey = await askSurvey(connection, upload, options.signal);
    if (survey.isPresent) return { uploaded: sentBytes > 0, sentBytes };
    const owner = survey.locks.find((lock) => !isAbandoned(lock));
    if (owner !== undefined) {
      if (!waited) options.note(`${describeOwner(owner)} is sending this image just now; waiting for it.`);
      waited = true;
      await sleep(busyPollMs);
      throwIfInterrupted(options.signal);
      continue;
    }
    attempt += 1;
    const outcome = await attemptUpload(connection, upload, survey, unusable, send);
    if (outcome.kind === 'stored') return { uploaded: true, sentBytes };
    if (outcome.kind === 'damaged') {
      for (const sha256 of outcome.bases) {
        unusable.add(sha256);
        options.note(`The image ${sha256.slice(0, 12)} is damaged on the cluster and is not used any more.`);
      }
    }
  }
  throw new HpcrunError('TRANSFER_FAILED', `${upload.localPath} arrived damaged ${attempts} times`, {
    hint: 'The disk of one of the two sides may be failing. "hpcrun images --verify" looks at the cluster\'s images.',
  });
}

type Attempt = UploadOptions & SendingOptions;

async function attemptUpload(
  connection: Connection,
  upload: ImageUpload,
  survey: Survey,
  unusable: Set<string>,
  options: Attempt,
): Promise<UploadOutcome | { kind: 'busy' }> {
  const { indexes, signal } = options;
  const index = upload.isSif ? await indexes.obtain(upload.localPath, upload.sha256, signal) : undefined;
  const known = survey.plan === undefined ? undefined : parsePlan(survey.plan, upload.sizeBytes);
  const isUsable = known?.every((segment) => segment.kind === 'new' || !unusable.has(segment.image)) === true;
  const segments =
    known && isUsable ? known : await planUpload(connection, upload, index, { survey, unusable, options });
  const lock = renderLock();
  const isResumed = known !== undefined && isUsable;
  if (!isResumed) {
    // New bytes are kept until the image is whole, which needs a copy of them unless all of it is new.
    const bytes = upload.sizeBytes + (isWholePlan(segments) ? 0 : newBytesOf(segments));
    requireRoom(
      parseSpace(survey.rest),
      { bytes, inodes: filesMade },
      `${posix.dirname(upload.path)} on ${connection.description}`,
    );
  }

  const begun = await begin(connection, upload, { segments, index, lock, survey, signal });
  if (begun !== 'begun') return { kind: begun };
  return await sendBlocks(
    connection,
    upload,
    { segments, lock, survey: isResumed ? survey : forgotten(survey) },
    options,
  );
}

function forgotten(survey: Survey): Survey {
  return { ...survey, done: new Set(), arrivedBytes: 0 };
}

async function planUpload(
  connection: Connection,
  upload: ImageUpload,
  index: ChunkIndex | undefined,
  { survey, unusable, options }: { survey: Survey; unusable: Set<string>; options: UploadOptions },
): Promise<Segment[]> {
  const whole = planWhole(upload.sizeBytes);
  if (!index) return whole;
  const { indexes, signal } = options;
  const candidates = survey.sketches.filter(({ image }) => !unusable.has(image));
  const bases: Base[] = await chooseBases(connection, index, candidates, {
    directory: posix.dirname(upload.path),
    indexes,
    signal,
  });
  return bases.length === 0 ? whole : planDelta(index, bases);
}

async function askSurvey(connection: Connection, upload: ImageUpload, signal: AbortSignal): Promise<Survey> {
  const result = await connection.run(renderSurvey(upload, renderSpaceProbe(posix.dirname(upload.path))), { signal });
  if (result.exitCode !== 0) throw remoteFailure(connection, 'looking at the images there', result);
  return parseSurvey(result.stdout);
}

async function begin(
  connection: Connection,
  upload: ImageUpload,
  parts: { segments: Segment[]; index: ChunkIndex | undefined; lock: string; survey: Survey; signal: AbortSignal },
): Promise<'begun' | 'stored' | 'busy'> {
  const { segments, index, lock, survey, signal } = parts;
  const about = {
    schemaVersion: 1,
    name: upload.name,
    sizeBytes: upload.sizeBytes,
    uploadedAt: new Date().toISOString(),
    uploadedBy: hostname(),
  };
  const pack = createPack();
  pack.entry({ name: 'plan' }, renderPlan(segments));
  pack.entry({ name: 'about.json' }, `${JSON.stringify(about)}\n`);
  if (index) pack.entry({ name: 'index' }, encodeIndex(index));
  pack.entry({ name: 'lock' }, `${lock}\n`);
  pack.entry({ name: 'complete' }, '');
  pack.finalize();
  const result = await connection.run(renderBegin(upload, survey.locks.find(isAbandoned)), {
    // The streamx stream of tar-stream is not one of Node's own.
    stdin: Readable.from(pack as AsyncIterable<Buffer>, { objectMode: false }),
    signal,
  });
  if (result.exitCode === 0) return 'begun';
  if (result.exitCode === storedStatus) return 'stored';
  if (result.exitCode === busyStatus) return 'busy';
  throw remoteFailure(connection, 'beginning to copy the image', result);
}
