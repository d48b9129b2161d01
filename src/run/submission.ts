import { posix } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { pack as createPack } from 'tar-stream';
import { renderMakeStore } from '../cluster/image-store.js';
import { renderUseMarks } from '../cluster/image-uses.js';
import type { RemoteLayout } from '../cluster/layout.js';
import { discardTrees } from '../cluster/objects.js';
import { packSnapshot, type Delivery } from '../cluster/pack-snapshot.js';
import type { Snapshot } from '../cluster/snapshot.js';
import { copyTree, forgive, linkComplaints, renderIsWhole, renderStoreSnapshot } from '../cluster/store-snapshot.js';
import { HpcrunError, messageOf } from '../errors.js';
import type { Connection } from '../ssh/connection.js';
import { quote } from '../ssh/quote.js';
import { remoteFailure, scriptPrelude } from '../ssh/remote-script.js';
import { printable } from '../ssh/terminal-text.js';
import { explainRefusal, renderAccountQuestion } from '../slurm/explain-refusal.js';
import { renderFindJob } from '../slurm/find-job.js';
import { imageParts, type RemotePart } from './image-parts.js';
import { renderRecord, type RunRecord } from './record.js';
import { forgetSlurmVariables, renderSubmitTasks } from './sweep/submit-tasks.js';
import type { Sweep } from './sweep/sweep.js';
import { renderParameterLines, renderTaskFile } from './sweep/task-file.js';

/** One run, ready to be handed over to the cluster. */
export interface Submission {
  record: RunRecord;
  jobScript: string;
  /** The job's variables, secrets included. */
  variables: Record<string, string>;
  /** Undefined where nothing of it can be sent, because only the record is known. */
  snapshot: Snapshot | undefined;
  /** The run whose variables, as far as they are not given anew, and changes are taken over there. */
  repeats?: string | undefined;
  /** Whose members share the images, if anybody does. */
  storeGroup: string | undefined;
  /** What the project's code has on top of its commit, as a patch; undefined where it has nothing or there is no git. */
  changes: Buffer | undefined;
}

export type SubmissionResult =
  | {
      kind: 'submitted';
      jobId: string;
      /** How many tasks of a sweep SLURM has taken, if it said so. */ tasks?: number | undefined;
    }
  /** Nothing was done because these are not on the cluster. */
  | {
      kind: 'missing';
      /** sha256 of the image's parts. */ image: string[];
      code: boolean;
      /** It could not be made because there are no hard links. */ noLinks: boolean;
    };

const missingStatus = 92;
const refusedStatus = 93;
const bindMissingStatus = 94;
const slurmMissingStatus = 95;
const uncertainStatus = 96;
const unreachableStatus = 89;
/** hpcrun itself has given this attempt up, because it had lost sight of it. */
const givenUpStatus = 88;
const variablesMissingStatus = 97;

/** The last entry of what is sent: without it, something is missing, wherever the tar was cut. */
const completeEntry = 'complete';

/**
 * Hands a run over to the cluster in one remote command: checks that everything it needs is there, makes the run's
 * directory and work copy, and calls sbatch. The same shell that calls sbatch writes its answer down. `code` says
 * what of the project's files is sent along; undefined for nothing. `attempt` tells several of one run apart. Throws CODE_UNSENDABLE,
 * SLURM_REFUSED, BIND_SOURCE_MISSING, SLURM_MISSING, REMOTE_DISK_FULL, and SUBMISSION_UNCERTAIN if the connection broke before the
 * answer came, whose error is then the cause.
 */
export async function submitToCluster(
  connection: Connection,
  layout: RemoteLayout,
  submission: Submission,
  options: { code: Delivery | undefined; attempt: string; signal: AbortSignal },
): Promise<SubmissionResult> {
  const script = scriptPrelude + renderSubmissionScript(layout, submission, options);
  let result;
  try {
    // sbatch itself tries for two minutes before it gives up, and then its job is looked for.
    result = await connection.run(script, {
      stdin: renderBundle(layout, submission, options),
      signal: options.signal,
      // A parallel file system takes its time for each file.
      timeoutMs: 400_000 + (submission.snapshot?.sizeBytes ?? 0) / 20 + submission.record.code.files * 50,
    });
  } catch (error) {
    // Neither of these has come as far as sbatch.
    const isHarmless =
      error instanceof HpcrunError && ['CODE_UNSENDABLE', 'REMOTE_SHELL_UNUSABLE'].includes(error.code);
    if (isHarmless || !(error instanceof HpcrunError)) throw error;
    throw uncertain(submission.record, error.message, error);
  }
  const output = result.stdout.toString('utf8');
  switch (result.exitCode) {
    case 0: {
      const jobId = /^job (\d+)/m.exec(output)?.[1];
      const last = [...output.matchAll(/^tasks \d+-(\d+)$/gm)].at(-1)?.[1];
      if (jobId !== undefined) return { kind: 'submitted', jobId, tasks: last === undefined ? 0 : Number(last) + 1 };
      throw remoteFailure(connection, 'submitting the job', result);
    }
    case missingStatus:
      return {
        kind: 'missing',
        image: [...output.matchAll(/^missing image ([0-9a-f]{64})$/gm)].map((match) => match[1] ?? ''),
        code: /^missing code$/m.test(output),
        noLinks: /^no links$/m.test(output),
      };
    case refusedStatus:
      throw explainRefusal(result.stderr, output);
    case bindMissingStatus:
      throw new HpcrunError(
        'BIND_SOURCE_MISSING',
        `not on ${submission.record.cluster}: ${printable(result.stderr.trim())}`,
        {
          hint: 'A bind needs its source to exist on the cluster: create it there, or correct the path.',
        },
      );
    case unreachableStatus:
      throw new HpcrunError(
        'SLURM_REFUSED',
        `SLURM does not answer on ${submission.record.cluster}: ${printable(result.stderr.trim())}`,
        { hint: 'Nothing was submitted. Try again in some minutes; sites announce when SLURM is down.' },
      );
    case uncertainStatus:
      throw uncertain(submission.record, `sbatch said: ${printable(result.stderr.trim())}`);
    case variablesMissingStatus:
      throw new HpcrunError(
        'VARIABLE_MISSING',
        `the values of ${missingVariables(submission).join(', ')} went with the directory of run ${submission.repeats ?? ''}`,
        { hint: 'Give them again: -e NAME=value, or -e NAME for your own.' },
      );
    case slurmMissingStatus:
      throw new HpcrunError('SLURM_MISSING', `there is no sbatch command on ${connection.description}`, {
        hint: 'Is this the login node? If SLURM comes with a module, load it in a start-up file of your login shell there.',
      });
    default:
      throw remoteFailure(connection, 'submitting the job', result);
  }
}

function missingVariables({ record, variables }: Pick<Submission, 'record' | 'variables'>): string[] {
  return record.variables.filter((name) => !Object.hasOwn(variables, name));
}

function uncertain(record: RunRecord, why: string, cause?: HpcrunError): HpcrunError {
  const code = cause?.code === 'INTERRUPTED' ? 'INTERRUPTED' : 'SUBMISSION_UNCERTAIN';
  return new HpcrunError(code, `the job of run ${record.runId} may have been submitted: ${why}`, {
    hint: `Look before you submit again: hpcrun status ${record.runId}`,
    cause,
  });
}

/**
 * A tar, compressed, to be unpacked in the root: what the run needs, and of the project's code what `code` says. Most of a tar of
 * many links is headers that resemble each other, which even the lowest level makes a tenth of.
 */
function renderBundle(
  layout: RemoteLayout,
  submission: Submission,
  { code, attempt }: { code: Delivery | undefined; attempt: string },
): Readable {
  const { record, jobScript, variables, snapshot, changes } = submission;
  const temporary = posix.relative(layout.root, attemptPaths(layout, record, attempt).temporary);
  const pack = createPack();
  const fill = async () => {
    const add = (name: string, content: string | Buffer) => {
      pack.entry({ name: `${temporary}/${name}`, mode: 0o600 }, content);
    };
    add('run/run.json', renderRecord(record));
    add('run/job.sbatch', jobScript);
    add('run/env', renderEnvironment(variables));
    if (record.sweep) {
      add('run/tasks.sh', renderTaskFile(record, record.sweep));
      add('run/params.jsonl', renderParameterLines(record.sweep));
      add('run/state/tasks', `${record.sweep.tasks.length}\n`);
    }
    if (changes) add('run/changes.patch', changes);
    if (code && snapshot) {
      const objects = posix.relative(layout.root, layout.objects);
      await packSnapshot(pack, snapshot, code, { temporary, objects, objectsPath: layout.objects });
    }
    add(completeEntry, '');
    pack.finalize();
  };
  fill().catch((error: unknown) => {
    pack.destroy(error instanceof Error ? error : new Error(messageOf(error)));
  });
  // The streamx stream of tar-stream is not one of Node's own.
  const tar = Readable.from(pack as AsyncIterable<Buffer>, { objectMode: false, highWaterMark: 1 << 20 });
  // An error of the tar's ends the compressed stream with the same error, and whoever reads that is told.
  return pipeline(tar, createGzip({ level: 1, chunkSize: 1 << 18 }), () => undefined);
}

/**
 * Where one attempt to submit a run does its work, and the directory that whoever makes it first has its way: the attempt, which then
 * calls sbatch, or hpcrun, which has lost sight of it and gives it up (settle-submission.ts).
 */
export function attemptPaths(
  layout: RemoteLayout,
  { runId }: RunRecord,
  attempt: string,
): { temporary: string; claim: string } {
  const temporary = `${layout.runs}/.new-${runId}.${attempt}`;
  return { temporary, claim: `${temporary}.claim` };
}

/** A file for the job script to source; what Apptainer passes into the container is prefixed with APPTAINERENV_. */
export function renderEnvironment(variables: Record<string, string>): string {
  return Object.entries(variables)
    .map(([name, value]) => `export APPTAINERENV_${name}=${quote(value)}\n`)
    .join('');
}

function renderSubmissionScript(
  layout: RemoteLayout,
  { record, repeats, variables, storeGroup, jobScript }: Submission,
  { code, attempt }: { code: Delivery | undefined; attempt: string },
): string {
  const run = layout.run(record.runId);
  const { temporary, claim } = attemptPaths(layout, record, attempt);
  const parts = imageParts(layout, record);
  const bindChecks = record.binds.map(
    ({ source }) => `[ -e ${quote(source)} ] || { printf '%s\\n' ${quote(source)} >&2; absent=1; }`,
  );
  return `snapshot=${quote(layout.snapshot(record.code.treeHash))}
objects=${quote(layout.objects)}
run=${quote(run.directory)}
new=${quote(temporary)}
claim=${quote(claim)}

find_slurm || exit ${slurmMissingStatus}
${renderIsWhole(record.code.listing)}
${discardTrees}
${copyTree}
${forgive}
${forgetSlurmVariables}
absent=
${bindChecks.join('\n')}
[ -z "$absent" ] || exit ${bindMissingStatus}
${renderMakeStore(layout, storeGroup)}
${renderUseMarks(
  layout,
  parts.map(({ sha256 }) => sha256),
  storeGroup,
)}
mark_uses
${parts.map(renderPartCheck).join('\n')}
[ -z "$absent" ] || {
  ${renderRehearsal(jobScript)}
}
# A clean-up leaves alone what was used within the hour.
touch -c "$snapshot" 2>/dev/null
${code ? '' : `is_whole "$snapshot" || { echo 'missing code'; absent=1; }`}
[ -z "$absent" ] || exit ${missingStatus}

trap 'discard_trees "$new"' EXIT
trap 'exit 1' HUP INT TERM
try_disk mkdir -p ${quote(layout.runs)} ${quote(layout.code)} "$objects" "$new"
find ${quote(layout.runs)} -maxdepth 1 -name '.new-*' -mmin +1440 | while read -r old; do discard_trees "$old"; done
try_disk ${code ? `forgive ${quote(linkComplaints)} ` : ''}tar -xzmf - -C ${quote(layout.root)}
[ -e "$new/${completeEntry}" ] || { echo 'the files did not arrive completely' >&2; exit 1; }
${code ? renderStoreSnapshot(code, missingStatus) : ''}
${repeats === undefined ? '' : renderTakeOver(layout, repeats, missingVariables({ record, variables }).length === 0 && record.image.isNative)}try_disk mkdir -p "$new/run/logs" "$new/run/state"
${record.sweep ? 'try_disk mkdir -p "$new/run/tasks" "$new/run/state/submitting"\n' : makeWorkCopy}
# From here on, a connection that breaks stops nothing: either there is no job, or one with its receipt.
trap '' HUP INT TERM
mkdir "$claim" 2>/dev/null || { echo 'hpcrun has given this attempt up' >&2; exit ${givenUpStatus}; }
trap 'rm -rf "$claim"; rmdir "$run/state/submitting" 2>/dev/null; discard_trees "$new"' EXIT
printf '%s %s\\n' "$(exec sh -c 'echo "$PPID"')" "$(uname -n)" >"$claim/owner"
try_disk mv "$new/run" "$run"
${renderFindJob(record.runId)}
says() { grep -qiE "$1" "$run/state/sbatch.err"; }
${record.sweep ? renderArrays(record, record.sweep) : renderOneJob(record)}
cat "$run/state/sbatch.err" >&2
if says ${quote(answerLost)}; then
  : >"$run/state/uncertain"
  exit ${uncertainStatus}
fi
if says ${quote(connectFailed)}; then
  rm -rf "$run"
  exit ${unreachableStatus}
fi
${renderAccountQuestion('cat "$run/state/sbatch.err"')}
rm -rf "$run"
exit ${refusedStatus}
`;
}

const makeWorkCopy = `try_disk copy_tree "$snapshot" "$new/run/work"
chmod -R u+w "$new/run/work"
try_disk touch "$new/run/state/baseline"
`;

function renderOneJob(record: RunRecord): string {
  return `answer=$(sbatch --parsable "$run/job.sbatch" 2>"$run/state/sbatch.err" </dev/null)
status=$?
if [ "$status" -ne 0 ]; then
  # sbatch may fail and yet have submitted, and a busy controller may take a job after sbatch has given up: the job's comment tells.
  answer='' answers=0 wanted=1 looks=12
  says ${quote(connectFailed)} && looks=0
  says ${quote(answerLost)} && wanted=3
  while [ "$looks" -gt 0 ] && [ "$answers" -lt "$wanted" ]; do
    if answer=$(find_job); then answers=$((answers + 1)); fi
    [ -z "$answer" ] || break
    looks=$((looks - 1))
    [ "$answers" -ge "$wanted" ] || sleep 5
  done
fi
if [ -n "$answer" ]; then
  printf '%s %s\\n' "$answer" "$(date +%s)" >"$run/state/receipt"
  record_use "\${answer%%;*}"
${renderLinks(record)}  printf 'job %s\\n' "$answer"
  exit 0
fi`;
}

/** Each task makes itself a work copy when it starts. */
function renderArrays(record: RunRecord, sweep: Sweep): string {
  return `${renderSubmitTasks(record, sweep)}
submit_tasks
if [ -s "$run/state/receipt" ]; then
  while read -r answer submitted span; do
    record_use "\${answer%%;*}"
    printf 'job %s\\ntasks %s\\n' "$answer" "$span"
  done <"$run/state/receipt"
  exit 0
fi`;
}

/** What the record does not hold of a run that is repeated: the values of its variables, and its uncommitted changes. */
function renderTakeOver(layout: RemoteLayout, runId: string, isOptional: boolean): string {
  const { directory } = layout.run(runId);
  return `old=${quote(directory)}
if [ -r "$old/env" ]; then cat "$old/env" "$new/run/env" >"$new/run/env.part" && try_disk mv "$new/run/env.part" "$new/run/env"
${isOptional ? '' : `else exit ${variablesMissingStatus}\n`}fi
if [ -r "$old/changes.patch" ]; then try_disk cp "$old/changes.patch" "$new/run/changes.patch"; fi
`;
}

// What sbatch says when the controller may have heard it, and when it cannot have (slurm_errno.c).
const answerLost = 'timed out|message (send|receive)|zero bytes|communication';
const connectFailed = 'unable to contact|connect failure|connection refused|no route to host';

/**
 * Shell lines that submit the links of a chain behind the first, each after the one before; all of them or none. Empty for other
 * runs.
 */
function renderLinks({ resume }: RunRecord): string {
  if (resume?.links === undefined) return '';
  return `  previous=\${answer%%;*}
  for link in $(seq 2 ${resume.links}); do
    if ! next=$(sbatch --parsable --dependency="afterany:$previous" "$run/job.sbatch" 2>"$run/state/sbatch.err" </dev/null); then
      scancel $(sed 's/[; ].*//' "$run/state/receipt") </dev/null
      { printf 'link %s of the chain: ' "$link"; cat "$run/state/sbatch.err"; } >&2
      rm -rf "$run"
      exit ${refusedStatus}
    fi
    printf '%s %s\\n' "$next" "$(date +%s)" >>"$run/state/receipt"
    previous=\${next%%;*}
    record_use "$previous"
  done
`;
}

// What sbatch says when it is not the job that is wrong, but the moment.
const temporary =
  'timed out|unable to contact|communication|connection|are busy|down, drained|inactive or drain|not responding';

/**
 * Asks sbatch whether it would take the job, with the directives it will have (sbatch man page, --test-only). Ends the script
 * if it would not: better now than when gigabytes have been sent.
 */
export function renderRehearsal(jobScript: string): string {
  const lines = (/^#!.*\n((?:#SBATCH .*\n)*)/.exec(jobScript)?.[1] ?? '').split('\n').filter((line) => line !== '');
  const script = ['#!/bin/sh', ...lines, ':', ''].join('\n');
  return `if ! said=$(printf '%s' ${quote(script)} | sbatch --test-only 2>&1); then
    case $(printf '%s' "$said" | grep -ciE ${quote(temporary)}) in
      0)
        printf '%s\\n' "$said" >&2
        ${renderAccountQuestion('printf %s "$said"')}
        exit ${refusedStatus} ;;
    esac
  fi`;
}

function renderPartCheck({ path, sha256, sizeBytes }: RemotePart): string {
  return `[ "$(stat -Lc %s ${quote(path)} 2>/dev/null)" = ${sizeBytes} ] || { echo 'missing image ${sha256}'; absent=1; }`;
}
