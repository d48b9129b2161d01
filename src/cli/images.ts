import { explainLeft } from '../cluster/explain-no-room.js';
import { parseSpace, renderSpaceProbe } from '../cluster/space.js';
import { hasCluster } from '../config/cluster.js';
import { loadProject } from '../config/project.js';
import { HpcrunError } from '../errors.js';
import { formatBytes, formatDuration } from '../progress.js';
import type { Session } from '../run/session.js';
import { listStoredImages, plural, shortId, type ImageInventory, type ListedImage } from '../run/stored-images.js';
import { verifyImages } from '../run/verify-images.js';
import { runRemote } from '../ssh/remote-script.js';
import { makeContext, withSession, type CommonOptions, type Context } from './context.js';
import { showLocalImages } from './local-images.js';
import { printJson, printLine, renderTable } from './output.js';

export interface ImagesOptions extends CommonOptions {
  local?: boolean;
  verify?: boolean;
}

/** `hpcrun images`: what the cluster's store holds, or this machine. */
export async function imagesCommand(options: ImagesOptions): Promise<number> {
  const context = makeContext(options);
  if (options.local === true) {
    await showLocalImages(context, options);
    return 0;
  }
  if (!(await isOnCluster(context, options))) {
    context.terminal.note('No cluster is configured; these images are on this machine.');
    await showLocalImages(context, options);
    return 0;
  }
  return await withSession(context, options, async (session) => {
    if (options.verify === true) return await verify(session, options);
    await showStoredImages(session, options);
    return 0;
  });
}

/** Whether a command is about a cluster at all: without one, it is about this machine. */
export async function isOnCluster({ directories, env, cwd }: Context, options: CommonOptions): Promise<boolean> {
  return await hasCluster({ directories, env, project: await loadProject(cwd), flag: options.cluster });
}

async function showStoredImages(session: Session, options: CommonOptions): Promise<void> {
  const inventory = await listStoredImages(session);
  if (options.json) {
    for (const image of inventory.images) printJson(storedObject(session, image));
    return;
  }
  if (inventory.images.length > 0) printLine(renderStored(inventory, session.cluster.store?.group !== undefined));
  const layout = await session.layout();
  const { stdout } = await runRemote(await session.connect(), 'asking for space', renderSpaceProbe(layout.store), {
    signal: session.signal,
  });
  const bytes = inventory.images.reduce((sum, image) => sum + image.bytes, 0);
  const left = explainLeft(parseSpace(stdout.toString('utf8')));
  session.progress.note(
    `${plural(inventory.images.length, 'image')} with ${formatBytes(bytes)} on ${session.cluster.name}, in ${layout.images}.${left === undefined ? '' : ` ${left}`}`,
  );
}

function renderStored({ images, listing }: ImageInventory, isShared: boolean): string {
  const rows = images.map((image) => [
    image.name ?? '-',
    shortId(image.sha256),
    formatBytes(image.bytes),
    image.kind === 'sif' ? 'SIF' : 'overlay',
    image.liveJobs > 0 ? `${image.runs}, ${image.liveJobs} live` : String(image.runs),
    `${formatDuration(listing.now - image.usedAt)} ago`,
    ...(isShared ? [image.owner, lastUser(image)] : []),
  ]);
  return renderTable(
    ['IMAGE', 'ID', 'SIZE', 'KIND', 'RUNS', 'LAST USED', ...(isShared ? ['OWNER', 'USED BY'] : [])],
    rows,
  );
}

function lastUser({ uses }: ListedImage): string {
  return uses.toSorted((a, b) => b.usedAt - a.usedAt)[0]?.owner ?? '-';
}

function storedObject({ cluster }: Session, image: ListedImage): { type: string } & Record<string, unknown> {
  const { name, sha256, bytes, kind, runs, liveJobs, usedAt, owner, uses } = image;
  return {
    type: 'image',
    place: 'cluster',
    cluster: cluster.name,
    name: name ?? null,
    sha256,
    sizeBytes: bytes,
    kind,
    runs,
    liveJobs,
    usedAt: new Date(usedAt * 1000).toISOString(),
    owner,
    users: [...new Set(uses.map((use) => use.owner))],
  };
}

async function verify(session: Session, options: CommonOptions): Promise<number> {
  const { checked, damaged, damagedIndexes, unreadable } = await verifyImages(session);
  if (options.json) {
    for (const { sha256, found, isSetAside } of damaged)
      printJson({ type: 'damaged', sha256, found, setAside: isSetAside });
    printJson({
      type: 'verified',
      cluster: session.cluster.name,
      images: checked,
      damaged: damaged.length,
      damagedIndexes,
    });
  }
  if (damagedIndexes.length > 0) {
    session.progress.warn(
      `The chunk indexes of these were damaged and are gone; the images are whole: ${damagedIndexes.map(shortId).join(', ')}`,
    );
  }
  if (unreadable.length > 0) {
    session.progress.warn(`These may not be read, and were not: ${unreadable.map(shortId).join(', ')}`);
  }
  if (damaged.length === 0) return 0;
  const foreign = damaged.filter(({ isSetAside }) => !isSetAside);
  throw new HpcrunError(
    'IMAGE_DAMAGED',
    `damaged on ${session.cluster.name}: ${damaged.map(({ sha256 }) => shortId(sha256)).join(', ')}`,
    {
      hint:
        foreign.length > 0
          ? `Only their owners can remove these: ${foreign.map(({ sha256 }) => shortId(sha256)).join(', ')}.`
          : 'They were set aside: the next submit sends them anew, and "hpcrun prune" removes them.',
    },
  );
}
