import { quote } from '../ssh/quote.js';
import { renderSpaceProbe } from './space.js';

export const surveyMark = 'hpcrun-survey';

/** Names of variables by which sites name places for data; anything else is the user's own business. */
const placePattern = '^[A-Z0-9_]*(HOME|SCRATCH|WORK|PROJECT|DATA|VAULT|STORE|STORAGE|OAK)[A-Z0-9_]*=/';

/**
 * The script, for `runRemote`, that learns what there is to know of a login node, its SLURM and what is left below `directory`. Every
 * part may fail or be missing without ending it, and none is waited for longer than twenty seconds.
 */
export function renderSurvey(directory: string): string {
  return `# A function that stands for a site's own command says nothing of whether that command is there (src/slurm/slurm-commands.ts).
exists() {
  case $1 in
    # Of these names, none is a variable's; the programs of SLURM have others.
    *[!A-Za-z0-9_]*) exists_program=$1 ;;
    *) eval "exists_program=\\\${slurm_program_$1:-$1}" ;;
  esac
  command -v "$exists_program" >/dev/null
}
ask() {
  exists "$1" || { echo '${surveyMark} missing'; return 0; }
  # What the site's commands are called may be said by functions of this shell, which timeout does not know.
  case $(command -v "$1") in
    /*) if command -v timeout >/dev/null; then timeout 20 "$@"; else "$@"; fi ;;
    *) "$@" ;;
  esac 2>&1 </dev/null
  ask_status=$?
  [ "$ask_status" -eq 0 ] || echo "${surveyMark} status $ask_status"
}
section() { echo "${surveyMark} section $1"; }
section system
uname -m
uname -r
uname -n
printf '%s\\n' "\${SHELL-}"
date +%s
# What a login shell knows: one is started, since on some sites that takes seconds.
patient=
if command -v timeout >/dev/null; then patient='timeout 20'; fi
login_env=$(printf 'env\\nmodule -t avail\\n' | $patient "\${SHELL:-/bin/sh}" -l 2>&1)
section places
printf '%s\\n' "$login_env" | grep -E '${placePattern}' | sort -u | while IFS='=' read -r name path; do
  if [ -d "$path" ]; then
    if [ -w "$path" ]; then echo "$name=$path"; fi
  fi
done
section modules
printf '%s\\n' "$login_env" | grep -iE '^[^ =]*(apptainer|singularity|slurm)[^ =]*$' | head -n 40
section user
id -un
id -Gn
section slurm
if exists sbatch; then echo path; elif find_slurm; then echo "\${slurm_found:-login shell}"; else echo none; fi
section version
ask sinfo --version
section commands
for name in sbatch squeue sacct scancel scontrol sinfo sacctmgr srun; do
  if exists "$name"; then echo "$name"; fi
done
section sinfo
ask sinfo -h -o '%P|%a|%l|%D|%c|%m|%G|%T'
section partitions
ask scontrol show partition -o
section config
ask scontrol show config
section accounts
ask sacctmgr -n -P show assoc "user=$(id -un)" format=account,partition,qos,defaultqos
section container
find_login_container() { command -v apptainer || command -v singularity; }
if container=$(find_login_container); then
  echo "$container"
  ask "$container" --version
  ask "$container" buildcfg | grep -E '^[A-Z]+_SUID_INSTALL='
fi
section namespaces
if unshare -Ur true 2>/dev/null; then echo yes; else echo no; fi
section mksquashfs
if command -v mksquashfs >/dev/null; then mksquashfs -version 2>/dev/null | head -n 1; fi
section root
space_top=${quote(directory)}
while [ ! -d "$space_top" ] && [ -n "$space_top" ]; do space_top=\${space_top%/*}; done
echo "\${space_top:-/}"
if [ -w "\${space_top:-/}" ]; then echo writable; else echo 'not writable'; fi
section space
${renderSpaceProbe(directory)}section end
`;
}
