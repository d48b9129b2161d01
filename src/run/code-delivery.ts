import { askMissingObjects, objectsOf } from '../cluster/objects.js';
import type { RemoteLayout } from '../cluster/layout.js';
import type { Delivery } from '../cluster/pack-snapshot.js';
import { SentObjects } from '../cluster/sent-objects.js';
import type { Snapshot } from '../cluster/snapshot.js';
import type { Connection } from '../ssh/connection.js';
import type { Session } from './session.js';

// Contents up to this size are sent along without asking whether the cluster has them: cheaper than a round trip.
const optimisticBytes = 1e6;

/** Decides what of a project's code goes with a submission, and decides anew after each answer. */
export class CodeDelivery {
  private constructor(
    private readonly sent: SentObjects,
    private readonly objects: ReadonlyMap<string, number>,
    private delivery: Delivery | undefined,
  ) {}

  /**
   * Sends nothing of a tree that this machine has submitted before, and otherwise what the cluster is not known to have, if that
   * is little. If it is much, the first submission is a question.
   */
  static async plan(session: Session, root: string, snapshot: Snapshot): Promise<CodeDelivery> {
    const sent = await SentObjects.load(session.cluster, root);
    const objects = objectsOf(snapshot);
    const unknown = [...objects].filter(([name]) => !sent.has(name));
    const isLittle = unknown.reduce((sum, [, sizeBytes]) => sum + sizeBytes, 0) < optimisticBytes;
    const isSent = !isLittle || (await hasSentTree(session, snapshot.treeHash));
    const contents = new Set(unknown.map(([name]) => name));
    return new CodeDelivery(
      sent,
      objects,
      isSent ? undefined : { contents, placement: sent.hasHardLinks ? 'link' : 'copy' },
    );
  }

  /** What the next submission sends of the code; undefined for nothing, because the snapshot is thought to be there. */
  get next(): Delivery | undefined {
    return this.delivery;
  }

  /** After a submission that found the snapshot, or some of its objects, missing: asks which objects are there. */
  async replan(
    connection: Connection,
    layout: RemoteLayout,
    { noLinks, signal }: { noLinks: boolean; signal: AbortSignal },
  ): Promise<void> {
    if (noLinks) await this.sent.rememberNoHardLinks();
    const contents = await askMissingObjects(connection, layout, this.objects, signal);
    this.sent.forget(contents);
    this.delivery = { contents, placement: this.sent.hasHardLinks ? 'link' : 'copy' };
  }

  /** After a submission that succeeded. */
  async confirm(): Promise<void> {
    await this.sent.confirm(this.objects.keys());
  }
}

/** Whether this machine has submitted the same tree to this cluster before, so that it is most likely still there. */
async function hasSentTree(session: Session, treeHash: string): Promise<boolean> {
  const records = await session.records.list();
  return records.some(({ code, jobId }) => code.treeHash === treeHash && jobId !== null);
}
