import { renderDirectives, type ResourceRequest } from '../../slurm/directives.js';
import type { SlurmRules } from '../../slurm/rules.js';
import { quote } from '../../ssh/quote.js';
import { scriptPrelude } from '../../ssh/remote-script.js';
import {
  farStatus,
  renderBuilder,
  renderReceive,
  shownLogLines,
  workDirectory,
  type FarBuild,
} from './build-functions.js';

// Ended states of a job (squeue man page, JOB STATE CODES), and squeue's word for a job it has forgotten.
const endedPattern = [
  ...['BOOT_FAIL', 'CANCELLED', 'COMPLETED', 'DEADLINE', 'FAILED', 'LAUNCH_FAILED', 'NODE_FAIL', 'OUT_OF_MEMORY'],
  ...['PREEMPTED', 'RECONFIG_FAIL', 'REVOKED', 'TIMEOUT'],
]
  .map((state) => `${state}*`)
  .join(' | ');

// Reasons (squeue man page, JOB REASON CODES) for which a job waits until somebody changes it, which nobody will.
const neverPattern = [
  ...['PartitionTimeLimit', 'PartitionNodeLimit', 'PartitionConfig', 'BadConstraints', 'InvalidAccount', 'InvalidQOS'],
  ...['AccountNotAllowed', 'QOSNotAllowed', 'JobHeldAdmin', 'JobHeldUser'],
]
  .map((reason) => `PENDING\\ *${reason}*`)
  .join(' | ');

export interface JobBuild extends FarBuild {
  resources: ResourceRequest;
  rules?: SlurmRules | undefined;
  /** Shortest time between two questions to SLURM. */
  pollSeconds: number;
}

/** By which the job is found if sbatch's answer is lost. */
function comment(id: string): string {
  return `hpcrun-convert:${id}`;
}

/** As the build on the login node, with an archive on standard input, but the build itself is a job; `at` tells its state, too. */
export function renderJobBuild(build: JobBuild): string {
  const seconds = Math.ceil(build.pollSeconds);
  return `${scriptPrelude}${renderBuilder(build, { kind: 'archive' })}
find_slurm || exit ${farStatus.noSlurm}
for name in $(env | sed -n 's/^\\(S\\(LURM\\|BATCH\\|QUEUE\\)_[A-Za-z0-9_]*\\)=.*/\\1/p'); do
  [ "$name" = SLURM_CONF ] || unset "$name"
done
begin
${renderReceive()}
try_disk sh -c 'printf %s "$2" >"$1"' sh "$work/job.sbatch" ${quote(renderBuildJob(build))}
job=$(sbatch --parsable "$work/job.sbatch" 2>"$work/sbatch.err" </dev/null)
if [ $? -ne 0 ]; then
  # sbatch may fail and yet have submitted.
  job=$(squeue --me -h -o '%i %k' </dev/null 2>/dev/null | sed -n ${quote(`s/^\\([0-9]*\\) ${comment(build.id)}$/\\1/p`)})
fi
job=\${job%%;*}
if [ -z "$job" ]; then
  cat "$work/sbatch.err" >&2
  exit ${farStatus.refused}
fi
printf '%s\\n' "$job" >"$work/job"
cancel() {
  trap '' HUP INT TERM
  scancel "$job" </dev/null
  # Its files can be removed when nothing writes to them any more.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -n "$(squeue -h -j "$job" </dev/null 2>/dev/null)" ] || break
    sleep 2
  done
}
stop() {
  cancel
  exit 1
}
trap stop HUP INT TERM
left=0 late= said=
while [ ! -e "$work/answer" ]; do
  if [ "$left" -le 0 ]; then
    left=${seconds}
    touch "$work"
    said=$(squeue --states=all -h -j "$job" -o '%T %r' </dev/null 2>&1)
    # A shared file system may show the job's answer late.
    case $said in
      ${endedPattern} | *'Invalid job id'*) late=\${late:-15} ;;
      ${neverPattern})
        cancel
        break ;;
      *) late= ;;
    esac
  fi
  if [ -n "$late" ]; then
    [ "$late" -gt 0 ] || break
    late=$((late - 1))
    ls "$work" >/dev/null
  fi
  line=$(last_words)
  printf 'at %s\\n' "\${line:-job $job: $said}" 2>/dev/null || stop
  sleep 1
  left=$((left - 1))
done
answer=
if [ -e "$work/answer" ]; then read -r answer <"$work/answer"; fi
case $answer in
  stored*)
    printf '%s\\n' "$answer"
    exit 0 ;;
esac
for log in "$work/build.log" "$work/job.log"; do
  if [ -e "$log" ]; then tail -n ${shownLogLines} "$log" >&2; fi
done
case $answer in
  failed*)
    printf '%s\\n' "$answer"
    exit ${farStatus.buildFailed} ;;
esac
printf 'ended %s\\n' "$said"
exit ${farStatus.jobDied}
`;
}

/** The batch script. It answers through a file, since only the login node is connected to the laptop. */
export function renderBuildJob(build: JobBuild): string {
  const work = workDirectory(build);
  const head = {
    name: 'hpcrun-convert',
    comment: comment(build.id),
    logPath: `${work}/job.log`,
    workingDirectory: work,
    resources: { ...build.resources, gpus: undefined },
  };
  const directives = renderDirectives(head, build.rules);
  return `#!/bin/bash
${directives.map((directive) => `#SBATCH ${directive}\n`).join('')}
# Written by hpcrun: converts a Docker image to a SIF.
${scriptPrelude}${renderBuilder(build, { kind: 'archive' })}
tell() {
  printf '%s\\n' "$1" >"$work/answer.part" && mv "$work/answer.part" "$work/answer"
}
# Whoever asked for it has gone.
[ -d "$work" ] || exit 1

# Scratch on the node, if it has one that is neither /tmp nor too small: what is unpacked there is many small files.
scratch=$work
needed=$((4 * $(stat -c %s "$work/image.tar") / 1024))
for candidate in "\${SLURM_TMPDIR-}" "\${TMPDIR-}"; do
  case $candidate in '' | /tmp | /tmp/* | /var/tmp | /var/tmp/*) continue ;; esac
  [ -d "$candidate" ] && [ -w "$candidate" ] || continue
  free=$(df -Pk "$candidate" | awk 'NR == 2 { print $4 }')
  if [ "\${free:-0}" -gt "$needed" ] && made=$(mktemp -d "$candidate/hpcrun-convert.XXXXXX"); then
    scratch=$made
    break
  fi
done
trap '[ "$scratch" = "$work" ] || remove_tree "$scratch"' EXIT

if ! find_container; then
  echo "neither apptainer nor singularity was found on $(uname -n)" >&2
  tell 'failed 127'
  exit 1
fi
start_build "docker-archive:$work/image.tar" "$scratch"
trap 'end_build; exit 1' TERM INT
wait "$build"
status=$?
if [ "$status" -ne 0 ]; then
  tell "failed $status"
  exit 1
fi
if ! store; then
  tell 'failed 1'
  exit 1
fi
tell "$answer"
`;
}
