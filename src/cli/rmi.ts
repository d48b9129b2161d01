import { HpcrunError } from '../errors.js';
import { formatBytes } from '../progress.js';
import { carryOutFarPrune } from '../run/prune.js';
import { listStoredImages, planRemoval, plural, shortId } from '../run/stored-images.js';
import { confirm } from './confirm.js';
import { makeContext, withSession, type CommonOptions } from './context.js';
import { printJson, printLine } from './output.js';

export interface RmiOptions extends CommonOptions {
  force?: boolean;
  yes?: boolean;
}

/** `hpcrun rmi`: removes images from the cluster's store. */
export async function rmiCommand(wanted: string[], options: RmiOptions): Promise<number> {
  const context = makeContext(options);
  return await withSession(context, options, async (session) => {
    const { items, images, remarks } = planRemoval(await listStoredImages(session), wanted, options.force === true);
    const bytes = images.reduce((sum, image) => sum + image.bytes, 0);
    for (const remark of remarks) context.terminal.note(remark);
    const question = `Remove ${plural(images.length, 'image')} (${formatBytes(bytes)}) from ${session.cluster.name}?`;
    if (!(await confirm(context.terminal, question, options.yes))) return 0;
    const { removed, kept } = await carryOutFarPrune(session, items, { withRunSizes: false });
    for (const { name, bytes: size } of removed) {
      const sha256 = name.slice(0, 64);
      if (options.json) printJson({ type: 'removed', place: 'cluster', sha256, sizeBytes: size });
      else
        printLine(`Removed ${images.find((image) => image.sha256 === sha256)?.name ?? 'image'} (${shortId(sha256)})`);
    }
    if (kept.length === 0) return 0;
    throw new HpcrunError(
      'IMAGE_IN_USE',
      `not removed, because they were used just now or may not be written to: ${kept.map(({ name }) => shortId(name)).join(', ')}`,
      { hint: '"hpcrun images" shows who uses them.' },
    );
  });
}
