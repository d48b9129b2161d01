import { describe, expect, it } from 'vitest';
import { RemoteLayout } from '../../src/cluster/layout.js';
import { renderFarListing } from '../../src/run/far-listing-script.js';
import { parseFarListing } from '../../src/run/far-listing.js';
import { removeItems } from '../../src/run/prune-act.js';
import { planPrune, type PruneItem } from '../../src/run/prune-plan.js';
import { quote } from '../../src/ssh/quote.js';
import { scriptPrelude } from '../../src/ssh/remote-script.js';
import { runShell } from '../support/shell.js';
import { ShellConnection } from '../support/shell-connection.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const signal = new AbortController().signal;
const [kept, unused, young, tree] = ['1', '2', '3', '4'].map((digit) => digit.repeat(64)) as [
  string,
  string,
  string,
  string,
];
const user = runShell('sh', 'id -un').stdout.trim();

/** A root with a run that has ended, three images, and a snapshot that shares a file with objects. */
async function makeRoot(): Promise<RemoteLayout> {
  const layout = new RemoteLayout(await makeTemporaryDirectory());
  const { stderr } = runShell(
    'sh',
    `set -e; cd ${quote(layout.root)}
mkdir -p images uses objects code/${tree}/src runs/20261122-081530-k3f9/state images/.incoming-${unused}-1500
for sha in ${kept} ${unused} ${young}; do echo image >images/$sha.sif; printf '{"name":"of %s"}' "$sha" >images/$sha.json; done
echo 41 >uses/${unused}.${user}; echo x >images/'odd name'
printf '{"image":{"sha256":"${kept}"}}' >runs/20261122-081530-k3f9/run.json
echo 0 >runs/20261122-081530-k3f9/state/exit; echo '41 1' >runs/20261122-081530-k3f9/state/receipt
echo a >objects/a-444; echo b >objects/b-444; chmod 444 objects/*
ln objects/a-444 code/${tree}/src/a; chmod 555 code/${tree} code/${tree}/src
touch -d '40 days ago' images/${kept}.* images/${unused}.* uses/* objects/* code/${tree} images/.incoming-* runs/*/state/exit`,
  );
  expect(stderr).toBe('');
  return layout;
}

/** Without SLURM here, the listing says that nobody answered; `answers` is what the plan is told instead. */
function list(layout: RemoteLayout, answers: boolean) {
  const { stdout } = runShell('sh', scriptPrelude + renderFarListing(layout, { withRunSizes: true }));
  return { ...parseFarListing(stdout), ...(answers ? { isComplete: true, seesOthers: true } : {}) };
}

describe('how old a run is', () => {
  const day = 24 * 3600;
  const ages = async (made: string) => {
    const layout = await makeRoot();
    const { stderr } = runShell('sh', `set -e; cd ${quote(layout.runs)}; rm -r *; ${made}`);
    expect(stderr).toBe('');
    const { now, runs } = list(layout, true);
    return runs.map(({ run, changedAt }) => [run.runId, Math.floor((now - changedAt) / day)]);
  };
  const run = '20261122-081530-k3f9';
  const old = `find ${run} -exec touch -d '9 days ago' {} +`;

  it('is that of the last of its tasks, whatever they have in their copies of the project', async () => {
    const made = `mkdir -p ${run}/state ${run}/tasks/0/state ${run}/tasks/1/state ${run}/tasks/1/work
echo '41 1 0-1' >${run}/state/receipt; echo 2 >${run}/state/tasks; echo 0 >${run}/tasks/0/state/exit; ${old}`;
    expect(await ages(made)).toEqual([[run, 9]]);
    expect(await ages(`${made}; touch ${run}/tasks/1/work/result`)).toEqual([[run, 9]]);
    expect(await ages(`${made}; echo 1 >${run}/tasks/1/state/exit`)).toEqual([[run, 0]]);
    expect(await ages(`${made}; touch -d '2 days ago' ${run}/tasks/0/state/exit`)).toEqual([[run, 2]]);
  });

  it('is that of its end, or else of its last start or line of output', async () => {
    const made = `mkdir -p ${run}/state ${run}/logs; echo '41 1' >${run}/state/receipt; echo x >${run}/logs/job.log`;
    expect(await ages(`${made}; ${old}`)).toEqual([[run, 9]]);
    expect(await ages(`${made}; echo 0 >${run}/state/exit; ${old}; touch ${run}/logs/job.log`)).toEqual([[run, 9]]);
    expect(await ages(`${made}; ${old}; echo more >>${run}/logs/job.log`)).toEqual([[run, 0]]);
    expect(await ages(`${made}; ${old}; echo '1 42' >${run}/state/restarts`)).toEqual([[run, 0]]);
    expect(await ages(`mkdir ${run}; ${old}`)).toEqual([[run, 9]]);
  });
});

describe('listing and removing', () => {
  it('reads a root as it is', async () => {
    const listing = list(await makeRoot(), false);
    expect(listing.isComplete).toBe(false);
    expect(listing.images.map(({ sha256, name }) => [sha256, name]).sort()).toEqual(
      [kept, unused, young].map((sha256) => [sha256, `of ${sha256}`]),
    );
    expect(listing.uses).toMatchObject([{ sha256: unused, owner: user, jobs: ['41'] }]);
    expect(listing.runs).toMatchObject([{ run: { state: 'COMPLETED' }, needs: [kept] }]);
    expect(listing.incoming).toHaveLength(1);
    expect(listing.unusedObjects).toEqual({ count: 1, bytes: 2 });
    expect(listing.oddNames).toBeGreaterThan(0);
    // Nobody knows whether job 41 goes on.
    expect(planPrune(listing, { olderThanSeconds: undefined, all: true }).items.map(({ kind }) => kind)).not.toContain(
      'image',
    );
  });

  it('removes what was planned and nothing else, and changes no object', async () => {
    const layout = await makeRoot();
    const { items } = planPrune(list(layout, true), { olderThanSeconds: undefined, all: false });
    const result = await removeItems(new ShellConnection(), layout, items, { withRunSizes: true, signal });
    expect(result.kept).toEqual([]);
    expect(result.removed.map(({ kind }) => kind)).toEqual([
      'image',
      'companion',
      'upload',
      'snapshot',
      'use',
      'objects',
    ]);
    const left = runShell('sh', `cd ${quote(layout.root)} && find . -type f | sort`)
      .stdout.trim()
      .split('\n');
    expect(left).toEqual([
      `./images/${kept}.json`,
      `./images/${kept}.sif`,
      `./images/${young}.json`,
      `./images/${young}.sif`,
      './images/odd name',
      './runs/20261122-081530-k3f9/run.json',
      './runs/20261122-081530-k3f9/state/exit',
      './runs/20261122-081530-k3f9/state/receipt',
    ]);
    expect(planPrune(list(layout, true), { olderThanSeconds: undefined, all: false }).items).toEqual([]);
  });

  it('leaves an object of another snapshot as it is', async () => {
    const layout = await makeRoot();
    const other = '5'.repeat(64);
    runShell('sh', `cd ${quote(layout.code)} && mkdir ${other} && ln ../objects/a-444 ${other}/a`);
    const item: PruneItem = { kind: 'snapshot', name: tree, bytes: 0, seenAt: 0 };
    await removeItems(new ShellConnection(), layout, [item], { withRunSizes: false, signal });
    expect(runShell('sh', `cd ${quote(layout.code)} && ls && stat -c %a ${other}/a`).stdout).toBe(`${other}\n444\n`);
  });

  it('brings an image back that was used after it was looked at', async () => {
    const layout = await makeRoot();
    const { items } = planPrune(list(layout, true), { olderThanSeconds: undefined, all: false });
    runShell('sh', `touch ${quote(`${layout.uses}/${unused}.somebody`)}`);
    const images = items.filter(({ kind }) => kind === 'image');
    const result = await removeItems(new ShellConnection(), layout, images, { withRunSizes: false, signal });
    expect(result.kept).toEqual(images);
    expect(runShell('sh', `ls ${quote(layout.image(unused))}`).status).toBe(0);
  });
});
