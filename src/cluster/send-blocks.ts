import { interrupted } from '../errors.js';
import type { Connection } from '../ssh/connection.js';
import { remoteFailure } from '../ssh/remote-script.js';
import { setMaxListeners } from 'node:events';
import {
  blockLength,
  countBlocks,
  dealBlocks,
  readBlocks,
  readRanges,
  skipBytes,
  type SendOptions,
} from '../transfer/blocks.js';
import { isWholePlan, newBytesOf, type Segment } from '../transfer/delta.js';
import { damagedStatus, renderAppender, renderAssembly, renderReceiver } from '../transfer/image-scripts.js';
import type { Survey } from '../transfer/image-survey.js';
import type { RateLimit } from '../transfer/rate-limit.js';
import type { ImageUpload } from './upload-image.js';

// OpenSSH gives a channel 2 MiB of window: so many of them keep a link of 1 Gbit/s and 100 ms busy.
const channels = 6;

export interface SendingOptions {
  limit: RateLimit;
  signal: AbortSignal;
  onSent: (bytes: number) => void;
  /** Of the bytes that have to travel, how many have, also in earlier attempts. */
  onProgress: (arrivedBytes: number, totalBytes: number) => void;
}

export type UploadOutcome =
  | { kind: 'stored' }
  /** It does not have its hash; `bases` are the images among those it was copied from that do not have theirs. */
  | { kind: 'damaged'; bases: string[] };

/**
 * Sends what has not arrived yet, while the far side puts the image together from what has. Throws REMOTE_DISK_FULL and
 * what a connection throws.
 */
export async function sendBlocks(
  connection: Connection,
  upload: ImageUpload,
  { segments, lock, survey }: { segments: Segment[]; lock: string; survey: Survey },
  options: SendingOptions,
): Promise<UploadOutcome> {
  // Whatever of it fails first ends the rest.
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  // Each channel listens for it in several places.
  setMaxListeners(10 * channels, signal, options.signal);
  const total = newBytesOf(segments);
  const streams = planStreams(upload, segments, survey);
  let arrived = total - streams.reduce((sum, { bytes }) => sum + bytes, 0);
  options.onProgress(arrived, total);
  const sending: SendOptions = {
    limit: options.limit,
    signal,
    onSent: (bytes) => {
      arrived += bytes;
      options.onSent(bytes);
      options.onProgress(Math.min(arrived, total), total);
    },
  };
  // In this order: where a server allows few sessions, the last ones wait for the first to end.
  const work = streams.map(async ({ script, read }) => {
    const result = await connection.stream(script, {
      stdin: read(sending),
      signal,
      onStdout: () => undefined,
    });
    if (result.exitCode !== 0) throw remoteFailure(connection, 'copying the image', result);
  });
  const assembly = assemble(connection, upload, { isWhole: isWholePlan(segments), lock }, signal);
  const ending = Promise.all([...work, assembly]);
  try {
    await ending;
    return await assembly;
  } catch (error) {
    stop.abort();
    await Promise.allSettled([...work, assembly]);
    if (options.signal.aborted) throw interrupted();
    throw error;
  }
}

interface Stream {
  script: string;
  bytes: number;
  read: (options: SendOptions) => AsyncGenerator<Buffer>;
}

/** What is still to be sent, on which channel. */
function planStreams(upload: ImageUpload, segments: Segment[], survey: Survey): Stream[] {
  const total = newBytesOf(segments);
  const { localPath } = upload;
  if (!survey.hasBlocks) {
    const { arrivedBytes } = survey;
    if (arrivedBytes === total) return [];
    const script = renderAppender(upload, arrivedBytes, total);
    const rest = skipBytes(segments, arrivedBytes);
    return [{ script, bytes: total - arrivedBytes, read: (options) => readRanges(localPath, rest, options) }];
  }
  const blocks = Array.from({ length: countBlocks(total) }, (_, block) => block).filter(
    (block) => !survey.done.has(block),
  );
  return dealBlocks(blocks, channels).map((hand, channel) => ({
    script: renderReceiver(upload, channel, hand, total),
    bytes: hand.reduce((sum, block) => sum + blockLength(block, total), 0),
    read: (options) => readBlocks(localPath, segments, hand, options),
  }));
}

// What it says has dots in front, one for each look at what has arrived.
async function assemble(
  connection: Connection,
  upload: ImageUpload,
  plan: { isWhole: boolean; lock: string },
  signal: AbortSignal,
): Promise<UploadOutcome> {
  let said = '';
  const result = await connection.stream(renderAssembly(upload, plan), {
    signal,
    onStdout: (chunk) => {
      said += chunk.toString('latin1');
    },
  });
  if (result.exitCode === 0 && /(?:^|\.)stored$/m.test(said)) return { kind: 'stored' };
  if (result.exitCode === damagedStatus) {
    return { kind: 'damaged', bases: [...said.matchAll(/damaged ([0-9a-f]{64})$/gm)].map((match) => match[1] ?? '') };
  }
  throw remoteFailure(connection, 'putting the image together', result);
}
