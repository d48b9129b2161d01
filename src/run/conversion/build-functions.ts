import type { RemoteLayout } from '../../cluster/layout.js';
import type { Compression } from '../../image/squash.js';
import { quote } from '../../ssh/quote.js';

/** What every build on the cluster has to know. */
export interface FarBuild {
  /** Made anew for each build; names its directory. */
  id: string;
  layout: Pick<RemoteLayout, 'root' | 'images'>;
  modules: string[];
  compression: Compression;
}

/** Statuses of the scripts below, from the range sysexits.h leaves free. */
export const farStatus = {
  incomplete: 91,
  refused: 93,
  noSlurm: 95,
  noApptainer: 97,
  buildFailed: 98,
  jobDied: 99,
} as const;

/** Follows an archive: without it, something is missing, wherever the archive was cut. Readers of a tar stop before it. */
export const archiveEnd = 'hpcrun: the archive is complete';

// Shown of what Apptainer printed.
export const shownLogLines = 60;

/** The directory of one build; all are below one, so that what is left over can be found. */
export function workDirectory({ layout, id }: Pick<FarBuild, 'layout' | 'id'>): string {
  return `${layout.root}/conversions/${id}`;
}

/** Writes standard input to `image.tar`, and ends the script if not all of it came. */
export function renderReceive(): string {
  return `try_disk sh -c 'cat >"$1"' sh "$work/image.tar"
if [ "$(tail -c ${archiveEnd.length} "$work/image.tar" | tr -d '\\0')" != ${quote(archiveEnd)} ]; then
  echo 'the image did not arrive completely' >&2
  exit ${farStatus.incomplete}
fi`;
}

/** A shell function that sets `container` to apptainer or singularity. */
export function renderFinder(modules: string[]): string {
  const load = modules.map((name) => `${quote(`module load ${name}`)} `).join('');
  return `# Modules, and on some sites the PATH to Apptainer, are there for login shells only.
find_container() {
  ${modules.length === 0 ? 'container=$(command -v apptainer || command -v singularity) && return 0\n  ' : ''}login_path=$(printf '%s\\n' ${load}env | "\${SHELL:-/bin/sh}" -l 2>/dev/null | sed -n 's/^PATH=//p' | tail -n 1)
  PATH=\${login_path:+$login_path:}$PATH
  container=$(command -v apptainer || command -v singularity)
}`;
}

/** What mksquashfs is told, as for hpcrun's own conversion: beyond these levels time grows much faster than the file shrinks. */
export const squashArguments: Record<Compression, string> = {
  gzip: '-comp gzip -Xcompression-level 4',
  zstd: '-comp zstd -Xcompression-level 3',
};

/** Shell functions: to set up and clean up, to start and end Apptainer, and to store what it has made. */
export function renderBuilder(
  { id, layout, modules, compression }: FarBuild,
  source: { kind: 'archive' } | { kind: 'registry'; insecure: boolean },
): string {
  const isInsecure = source.kind === 'registry' && source.insecure;
  const options = ['--disable-cache', '--fix-perms', ...(isInsecure ? ['--no-https', '--nohttps'] : [])];
  // The user may have logged in to a registry there; otherwise nothing is wanted from the home directory, nor left in it.
  const directories = ['TMPDIR tmp', 'CACHEDIR cache', ...(source.kind === 'archive' ? ['CONFIGDIR config'] : [])];
  return `conversions=${quote(`${layout.root}/conversions`)}
work=${quote(workDirectory({ layout, id }))}
images=${quote(layout.images)}

# An image may hold directories that not even their owner may write to.
remove_tree() {
  chmod -R u+rwX "$1" 2>/dev/null
  rm -rf "$1"
}
# A conversion that was killed leaves its directory behind; the next one removes it.
remove_abandoned() {
  for old in "$conversions"/*; do
    [ -d "$old" ] && [ -O "$old" ] || continue
    host= owner=
    if [ -r "$old/owner" ]; then read -r host owner <"$old/owner"; fi
    if [ "$host" != "$(uname -n)" ] || kill -0 "$owner" 2>/dev/null; then
      [ -n "$(find "$old" -maxdepth 0 -mmin +1440)" ] || continue
    fi
    if [ -r "$old/job" ] && find_slurm; then scancel "$(cat "$old/job")" </dev/null 2>/dev/null; fi
    remove_tree "$old"
  done
}
begin() {
  try_disk mkdir -p "$conversions" "$images"
  remove_abandoned
  trap 'remove_tree "$work"' EXIT
  trap 'exit 1' HUP INT TERM
  try_disk mkdir "$work"
  printf '%s %s\\n' "$(uname -n)" "$$" >"$work/owner"
}
${renderFinder(modules)}
start_build() { # source, directory for everything temporary
  source=$1
  for pair in ${directories.map(quote).join(' ')}; do
    mkdir -p "$2/\${pair#* }" || exit 1
    export "APPTAINER_\${pair% *}=$2/\${pair#* }" "SINGULARITY_\${pair% *}=$2/\${pair#* }"
  done
  # Releases differ in what they know.
  known=$("$container" build --help 2>/dev/null)
  set --
  for option in ${options.join(' ')}; do
    case $known in *"$option"*) set -- "$@" "$option" ;; esac
  done
  squash=${quote(squashArguments.gzip)}
${compression === 'zstd' ? `  if mksquashfs -help 2>&1 | grep -q zstd; then squash=${quote(squashArguments.zstd)}; fi\n` : ''}  # By itself, mksquashfs takes all CPUs and a quarter of the machine's memory.
  squash="$squash -mem 512M -processors \${SLURM_CPUS_PER_TASK:-4}"
  case $known in *--mksquashfs-args*) set -- "$@" --mksquashfs-args "$squash" ;; esac
  : >"$work/build.log"
  umask 022
  nice setsid "$container" build "$@" "$work/image.sif" "$source" >"$work/build.log" 2>&1 </dev/null &
  build=$!
  umask 077
}
last_words() {
  grep '^INFO:' "$work/build.log" 2>/dev/null | grep -v Non-gzip | tail -n 1
}
end_build() {
  trap '' HUP INT TERM
  kill -TERM "-$build" 2>/dev/null
  sleep 1
  kill -KILL "-$build" 2>/dev/null
  wait "$build"
}
store() {
  if ! "$container" sif list "$work/image.sif" 2>/dev/null | grep -q Squashfs; then
    echo "what $container has built is not a SIF" >&2
    return 1
  fi
  size=$(stat -c %s "$work/image.sif")
  sum=$(sha256sum "$work/image.sif") || return 1
  sum=\${sum%% *}
  sum=\${sum#\\\\}
  answer="stored $sum $size"
  # A file that is there is in use: it is never replaced by another copy of itself.
  if [ "$(stat -Lc %s "$images/$sum.sif" 2>/dev/null)" = "$size" ]; then return 0; fi
  part="$images/.$sum.${id}.part"
  try_disk mv "$work/image.sif" "$part"
  chmod 0440 "$part" && mv "$part" "$images/$sum.sif"
}
`;
}
