import { gzipSync } from 'node:zlib';
import type { RemoteLayout } from '../../cluster/layout.js';
import { renderTinySif } from '../../image/tiny-sif.js';
import { renderDirectives, type ResourceRequest } from '../../slurm/directives.js';
import { renderContainerSearch } from '../../slurm/job-script.js';
import type { SlurmRules } from '../../slurm/rules.js';
import { quote } from '../../ssh/quote.js';
import { scriptPrelude } from '../../ssh/remote-script.js';

/** A small job that finds out what containers can do on a compute node. */
export interface Trial {
  /** Made anew for each; names its directory. */
  id: string;
  layout: Pick<RemoteLayout, 'root' | 'containers'>;
  /** Go's name, such as `amd64`. */
  architecture: string;
  resources: ResourceRequest;
  rules: SlurmRules;
  modules: string[];
  containerCommand: string | undefined;
  proxy: string | undefined;
  computeInternet: boolean | undefined;
  /** The text of slurm-templates/node-probe.sh. */
  nodeProbe: string;
  /** Shortest time between two questions to SLURM. */
  pollSeconds: number;
  /** How long the job may wait in the queue before it is cancelled. */
  patienceSeconds: number;
}

/** Statuses of the script below. */
export const trialStatus = { refused: 93, noSlurm: 95 } as const;

/** Lines of the script begin with one of these. */
export const trialMark = {
  progress: 'hpcrun-at ',
  answer: 'hpcrun-found ',
  ended: 'hpcrun-ended ',
  log: 'hpcrun-log ',
} as const;

const ended =
  'BOOT_FAIL*|CANCELLED*|COMPLETED*|DEADLINE*|FAILED*|LAUNCH_FAILED*|NODE_FAIL*|OUT_OF_MEMORY*|PREEMPTED*|TIMEOUT*';

function directoryOf({ id, layout }: Trial): string {
  return `${layout.root}/.doctor-${id}`;
}

/**
 * The script for the login node: submits the job, waits for its answer, and leaves nothing behind. When the connection breaks, it
 * notices within a second, as its next line reaches nobody.
 */
export function renderTrial(trial: Trial): string {
  const work = directoryOf(trial);
  const images = (['gzip', 'zstd'] as const).map((compression) => {
    const packed = gzipSync(renderTinySif(trial.architecture, compression)).toString('base64');
    return `printf %s ${packed} | base64 -d | gzip -d >"$work/${compression}.sif"`;
  });
  return `${scriptPrelude}find_slurm || exit ${trialStatus.noSlurm}
for name in $(env | sed -n 's/^\\(S\\(LURM\\|BATCH\\|QUEUE\\)_[A-Za-z0-9_]*\\)=.*/\\1/p'); do
  [ "$name" = SLURM_CONF ] || unset "$name"
done
work=${quote(work)}
job=
leave() {
  trap '' HUP INT TERM
  if [ -n "$job" ]; then scancel "$job" </dev/null 2>/dev/null; fi
  rm -rf "$work"
}
trap leave EXIT
trap 'exit 1' HUP INT TERM
# Of one that was killed.
find ${quote(trial.layout.root)} -maxdepth 1 -name '.doctor-*' -mmin +1440 -exec rm -rf {} + 2>/dev/null
try_disk mkdir -p "$work"
${images.join('\n')}
try_disk sh -c 'printf %s "$2" >"$1"' sh "$work/job.sbatch" ${quote(renderTrialJob(trial))}
job=$(sbatch --parsable "$work/job.sbatch" 2>"$work/sbatch.err" </dev/null) || {
  job=
  cat "$work/sbatch.err" >&2
  exit ${trialStatus.refused}
}
job=\${job%%;*}
left=0 late= said= waited=0
while [ ! -e "$work/answer" ]; do
  if [ "$left" -le 0 ]; then
    left=${Math.ceil(trial.pollSeconds)}
    said=$(squeue --states=all -h -j "$job" -o '%T %r' </dev/null 2>&1)
    # A shared file system may show the job's answer late.
    case $said in
      ${ended}|*'Invalid job id'*) late=\${late:-15} ;;
      *) late= ;;
    esac
  fi
  if [ -n "$late" ]; then
    [ "$late" -gt 0 ] || break
    late=$((late - 1))
    ls "$work" >/dev/null
  fi
  # Who is running already has five minutes of its own.
  case $said in
    RUNNING* | COMPLETING* | CONFIGURING*) ;;
    *) [ "$waited" -lt ${Math.ceil(trial.patienceSeconds)} ] || break ;;
  esac
  printf '${trialMark.progress}%s %s\\n' "$job" "$said" 2>/dev/null || exit 1
  sleep 1
  waited=$((waited + 1))
  left=$((left - 1))
done
if [ -e "$work/answer" ]; then
  sed 's/^/${trialMark.answer}/' "$work/answer"
else
  said=$(squeue --states=all -h -j "$job" -o '%T %r' </dev/null 2>&1)
  printf '${trialMark.ended}%s %s\\n' "$job" "$said"
  if [ -e "$work/job.log" ]; then tail -n 20 "$work/job.log" | sed 's/^/${trialMark.log}/'; fi
fi
`;
}

/** Ends the job with a word where a module is not there. A batch shell is no login shell, and so may not know `module`. */
function renderModuleLoads(modules: string[]): string {
  if (modules.length === 0) return '';
  return `for init in "\${LMOD_PKG-}/init/bash" "\${MODULESHOME-}/init/bash" /etc/profile.d/{lmod,z00_lmod,modules}.sh; do
  if ! type module >/dev/null 2>&1 && [ -r "$init" ]; then . "$init"; fi
done
type module >/dev/null 2>&1 || fail 'there is no module command there'
module load ${modules.map(quote).join(' ')} || fail ${quote(`a module could not be loaded: ${modules.join(' ')}`)}
`;
}

/** The batch script: it runs `sh` of its own node in an image that holds nothing, and answers through a file. */
export function renderTrialJob(trial: Trial): string {
  const { layout, rules, modules, proxy, computeInternet, nodeProbe } = trial;
  const work = directoryOf(trial);
  const head = {
    name: 'hpcrun-doctor',
    comment: `hpcrun-doctor:${trial.id}`,
    logPath: `${work}/job.log`,
    workingDirectory: work,
    resources: trial.resources,
  };
  const { findContainer, containerModules, containerMissing } = renderContainerSearch(trial.containerCommand);
  return `#!/bin/bash
${renderDirectives(head, rules)
  .map((directive) => `#SBATCH ${directive}\n`)
  .join('')}
# Written by hpcrun doctor: what can containers do on this node?
work=${quote(work)}
found=${quote(layout.containers)}
say() {
  printf '%s %s\\n' "$1" "$2" >>"$work/answer.part"
}
finish() {
  mv "$work/answer.part" "$work/answer"
  exit 0
}
fail() {
  say missing "$1"
  finish
}
say node "$(hostname)"
${renderModuleLoads(modules)}container=$(${findContainer})
if [ -z "$container" ]; then
  . /etc/profile >/dev/null 2>&1
  container=$(${findContainer})
fi
# As in every job: it may come with a module that is called as it is.
for name in ${containerModules.map(quote).join(' ')}; do
  if [ -z "$container" ] && type module >/dev/null 2>&1; then
    module load "$name" >/dev/null 2>&1
    container=$(${findContainer})
  fi
done
[ -n "$container" ] || fail ${quote(`${containerMissing} there`)}
say container "$("$container" --version 2>/dev/null | head -n 1)"
scratch=$(mktemp -d "\${TMPDIR:-/tmp}/hpcrun-doctor.XXXXXX") || fail 'no scratch directory can be made there'
trap 'rm -rf "$scratch"' EXIT
say scratch "$(df -Pk "$scratch" | awk 'NR == 2 { print $4 }') $scratch"
# The image has directories for these, and no program of its own.
binds=
for directory in /usr /bin /sbin /lib /lib64; do
  if [ -d "$directory" ]; then binds=\${binds:+$binds,}$directory; fi
done
export APPTAINER_BIND=$binds SINGULARITY_BIND=$binds
${proxy === undefined ? '' : `export https_proxy=${quote(proxy)}\n`}${nodeProbe}${
    computeInternet === undefined ? '' : `reaches_internet() { ${computeInternet ? 'true' : 'false'}; }\n`
  }image=$work/gzip.sif
if ! in_image true >"$scratch/said" 2>&1 </dev/null; then
  say failed "$(tail -n 3 "$scratch/said" | tr '\\n' ' ')"
  finish
fi
say runs yes
probe >"$scratch/found"
# Where overlays are switched off, only an image in zstd can tell.
if grep -q '^zstd no' "$scratch/found"; then
  image=$work/zstd.sif
  if in_image true >/dev/null 2>&1 </dev/null; then sed -i 's/^zstd no/zstd yes/' "$scratch/found"; fi
fi
cp "$scratch/found" "$found.$SLURM_JOB_ID" && mv "$found.$SLURM_JOB_ID" "$found"
cat "$scratch/found" >>"$work/answer.part"
finish
`;
}
