import type { RemoteLayout } from '../cluster/layout.js';
import { imageMode, renderMakeStore } from '../cluster/image-store.js';
import { explainNoRoom } from '../cluster/explain-no-room.js';
import { uploadImage, type UploadResult } from '../cluster/upload-image.js';
import { HpcrunError } from '../errors.js';
import { formatBytes, withStep } from '../progress.js';
import type { Connection } from '../ssh/connection.js';
import type { RateLimit } from '../transfer/rate-limit.js';
import { chunkIndexes } from './chunk-indexes.js';
import type { ImagePart } from './prepare-image.js';
import type { Session } from './session.js';
import { TransferMeter } from './transfer-meter.js';

export interface PartToSend {
  part: ImagePart;
  isOverlay: boolean;
  /** What the image is called. */
  name: string;
  layout: RemoteLayout;
  limit: RateLimit;
}

/** Copies a file of an image to the cluster, unless it is there. Throws TRANSFER_FAILED, REMOTE_DISK_FULL and what a connection throws. */
export async function sendPart(
  session: Session,
  connection: Connection,
  { part, isOverlay, name, layout, limit }: PartToSend,
): Promise<UploadResult> {
  const { path: localPath, sha256, sizeBytes } = part;
  const { cluster, progress, signal } = session;
  if (localPath === undefined) {
    throw new HpcrunError('TRANSFER_FAILED', `the image ${sha256} was made on ${cluster.name} and is gone from there`, {
      hint: 'Submit again: it is then made anew.',
    });
  }
  const what = isOverlay ? 'the changes to the image' : 'the image';
  const upload = {
    localPath,
    name,
    sha256,
    sizeBytes,
    isSif: !isOverlay,
    path: isOverlay ? layout.overlay(sha256) : layout.image(sha256),
    mode: imageMode,
    makeStore: renderMakeStore(layout, cluster.store?.group),
  };
  try {
    return await withStep(
      progress,
      `Uploading ${what}`,
      async (step) => {
        const meter = new TransferMeter(() => performance.now());
        return await uploadImage(connection, upload, {
          indexes: chunkIndexes(session.inputs.directories),
          limit,
          signal,
          onProgress: (arrived, total) => {
            step.update(meter.describe(arrived, total));
          },
          note: (text) => {
            progress.note(text);
          },
        });
      },
      ({ uploaded, sentBytes }) =>
        uploaded
          ? `Uploaded ${what} (${describeSent(sentBytes, sizeBytes)})`
          : `${cluster.name} has ${what} already (${formatBytes(sizeBytes)})`,
    );
  } catch (error) {
    if (!(error instanceof HpcrunError) || error.code !== 'REMOTE_DISK_FULL') throw error;
    const usage = await explainNoRoom(connection, layout, signal);
    throw new HpcrunError('REMOTE_DISK_FULL', error.message, {
      hint: `What has arrived is kept: the same command goes on from there. ${usage}`,
      cause: error,
    });
  }
}

function describeSent(sentBytes: number, sizeBytes: number): string {
  return sentBytes < sizeBytes
    ? `${formatBytes(sentBytes)} sent of ${formatBytes(sizeBytes)}; the rest was there`
    : formatBytes(sizeBytes);
}
