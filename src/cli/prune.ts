import { HpcrunError } from '../errors.js';
import { parseTime } from '../config/quantities.js';
import { formatBytes } from '../progress.js';
import type { PruneItem } from '../run/prune-plan.js';
import { carryOutFarPrune, prepareFarPrune, type FarPrune } from '../run/prune.js';
import type { Session } from '../run/session.js';
import { plural } from '../run/stored-images.js';
import { confirm } from './confirm.js';
import { makeContext, withSession, type CommonOptions, type Context } from './context.js';
import { isOnCluster } from './images.js';
import { pruneLocal } from './local-images.js';
import { printJson, printLine, renderTable } from './output.js';

export interface PruneOptions extends CommonOptions {
  olderThan?: string;
  all?: boolean;
  dryRun?: boolean;
  yes?: boolean;
  local?: boolean;
}

/** `hpcrun prune`: removes what nothing needs from the cluster and from this machine. */
export async function pruneCommand(options: PruneOptions): Promise<number> {
  const context = makeContext(options);
  const olderThanSeconds = parseAge(options.olderThan);
  const isLocal = options.local === true || !(await isOnCluster(context, options));
  const isDone =
    isLocal ||
    (await withSession(context, options, (session) => pruneCluster(context, session, options, olderThanSeconds)));
  if (!isDone) return 0;
  const seconds = olderThanSeconds ?? (options.all === true ? 0 : undefined);
  await pruneLocal(context, options, {
    olderThan: seconds === undefined ? undefined : new Date(Date.now() - seconds * 1000),
    dryRun: options.dryRun === true,
  });
  return 0;
}

/** False if the user said no. */
async function pruneCluster(
  { terminal }: Context,
  session: Session,
  options: PruneOptions,
  olderThanSeconds: number | undefined,
): Promise<boolean> {
  const withRunSizes = olderThanSeconds !== undefined;
  const plan = await prepareFarPrune(session, { olderThanSeconds, all: options.all === true });
  const planned = plan.items.reduce((sum, { bytes }) => sum + bytes, 0);
  if (!options.json) describePlan(session, plan);
  let result = { removed: plan.items, kept: [] as PruneItem[], totalBytes: Math.max(0, plan.beforeBytes - planned) };
  if (options.dryRun !== true && plan.items.length > 0) {
    const runs = plan.items.filter(({ kind }) => kind === 'run').length;
    const withRuns = runs === 0 ? '' : `, among it ${plural(runs, 'run')} with all they wrote`;
    const question = `Remove this from ${session.cluster.name}${withRuns}?`;
    if (!(await confirm(terminal, question, options.yes))) return false;
    result = await carryOutFarPrune(session, plan.items, { withRunSizes });
  }
  report(session, plan, result, options);
  return true;
}

const words: Record<PruneItem['kind'], string> = {
  run: 'ended run',
  image: 'unused image',
  companion: 'index without an image',
  upload: 'unfinished upload',
  remains: 'damaged or unfinished file',
  snapshot: 'unused snapshot of code',
  objects: 'unused files of code',
  leftover: 'leftover of a submission',
  conversion: 'leftover of a conversion',
  use: 'old mark of use',
};

function describePlan(session: Session, { items, remarks, notPulled }: FarPrune): void {
  const isMark = ({ kind }: PruneItem) => kind === 'use';
  const rows = items
    .filter((item) => !isMark(item))
    .map(({ kind, name, bytes }) => [words[kind], name, formatBytes(bytes)]);
  if (rows.length > 0) printLine(renderTable(['WHAT', 'NAME', 'SIZE'], rows));
  const marks = items.filter(isMark).length;
  if (marks > 0) session.progress.note(`And ${plural(marks, 'old mark')} of use.`);
  for (const remark of remarks) session.progress.note(remark);
  if (notPulled > 0) {
    session.progress.warn(
      `The results of ${plural(notPulled, 'run')} of these were not pulled to the usual place on this machine.`,
    );
  }
}

function report(
  session: Session,
  { items, beforeBytes }: FarPrune,
  { removed, kept, totalBytes }: { removed: PruneItem[]; kept: PruneItem[]; totalBytes: number },
  options: PruneOptions,
): void {
  const dryRun = options.dryRun === true;
  const afterBytes = items.length === 0 ? beforeBytes : totalBytes;
  const cluster = session.cluster.name;
  if (options.json) {
    for (const { kind, name, bytes } of removed)
      printJson({ type: 'pruned', place: 'cluster', cluster, kind, name, bytes });
    printJson({ type: 'prune', place: 'cluster', cluster, dryRun, beforeBytes, afterBytes, kept: kept.length });
    return;
  }
  if (kept.length > 0) {
    session.progress.warn(
      `Left alone, because it was used just now or may not be removed: ${kept.map(({ name }) => name).join(', ')}`,
    );
  }
  session.progress.note(
    items.length === 0
      ? `Nothing to remove on ${cluster}: ${formatBytes(beforeBytes)}.`
      : `On ${cluster}: ${formatBytes(beforeBytes)} before, ${formatBytes(afterBytes)} ${dryRun ? 'then' : 'now'}.`,
  );
}

function parseAge(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = parseTime(text);
  if (seconds !== undefined) return seconds;
  throw new HpcrunError('USAGE', `--older-than "${text}" is not a time`, { hint: '--older-than 30d' });
}
