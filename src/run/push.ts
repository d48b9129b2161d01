import { RemoteLayout } from '../cluster/layout.js';
import { withStep } from '../progress.js';
import { RateLimit } from '../transfer/rate-limit.js';
import { describeImage, type ImagePlan } from './plan.js';
import { prepareImage } from './prepare-image.js';
import { sendPart } from './send-image.js';
import type { Session } from './session.js';

/** A file of an image, and how much of it had to be sent. */
export interface PushedPart {
  sha256: string;
  sizeBytes: number;
  uploaded: boolean;
  sentBytes: number;
}

/** Builds or finds an image, converts it and copies it to the cluster, so that a later submission finds it there. */
export async function pushImage(session: Session, plan: ImagePlan): Promise<PushedPart[]> {
  const { root, store } = await session.facts();
  const { name: clusterName } = session.cluster;
  const connection = await withStep(
    session.progress,
    `Connecting to ${clusterName}`,
    () => session.connect(),
    (opened) => `Connected to ${clusterName} (${opened.description})`,
  );
  const image = await prepareImage(session, plan, await session.facts());
  const layout = new RemoteLayout(root, store);
  const limit = new RateLimit(session.inputs.bytesPerSecond);
  const pushed: PushedPart[] = [];
  for (const [index, part] of image.parts.entries()) {
    const { sha256, sizeBytes } = part;
    // A conversion on the cluster leaves the image there.
    const sent =
      part.path === undefined
        ? { uploaded: false, sentBytes: 0 }
        : await sendPart(session, connection, {
            part,
            isOverlay: index > 0,
            name: describeImage(plan.image),
            layout,
            limit,
          });
    pushed.push({ sha256, sizeBytes, ...sent });
  }
  return pushed;
}
