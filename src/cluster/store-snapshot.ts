import { createHash } from 'node:crypto';
import { maximumLinks, type Delivery } from './pack-snapshot.js';
import type { Snapshot } from './snapshot.js';

/**
 * The shell function `is_whole DIRECTORY`: whether a directory holds the files, links and empty directories of the snapshot whose
 * `listingDigest` is given, each with its name and size (content is what hashing on arrival is for). A clean-up of the site's may have taken some. Needs
 * GNU find and `sha256_of`.
 */
export function renderIsWhole(listing: string | undefined): string {
  if (listing === undefined) return 'is_whole() { [ -d "$1" ]; }';
  return `is_whole() {
  [ -d "$1" ] && [ "$(find "$1" -mindepth 1 \\( -type f -printf 'f %s %P\\0' \\) -o \\( -type l -printf 'l %l %P\\0' \\) \\
    -o \\( -type d -empty -printf 'd %P\\0' \\) -o \\( ! -type d -printf '? %P\\0' \\) | sort -z | sha256_of)" = ${listing} ]
}`;
}

/** What `is_whole` compares: the sha256 of the names, kinds and sizes of a snapshot's files. */
export function listingDigest(snapshot: Pick<Snapshot, 'files'>): string {
  const lines = snapshot.files.map((file) => {
    switch (file.type) {
      case 'file':
        return `f ${file.sizeBytes} ${file.path}`;
      case 'symlink':
        return `l ${file.target} ${file.path}`;
      case 'directory':
        return `d ${file.path}`;
    }
  });
  const hash = createHash('sha256');
  const bytewise = lines.map((line) => Buffer.from(line, 'utf8')).sort((a, b) => Buffer.compare(a, b));
  for (const line of bytewise) hash.update(line).update('\0');
  return hash.digest('hex');
}

/** What tar says when it cannot make a hard link for another reason than want of space, as an extended regular expression. */
export const linkComplaints =
  'hard ?link.*: (No such file|Too many links|Operation not|Invalid cross-device|Function not)|Exiting with failure';

/** The shell function `forgive PATTERN CMD…`: succeeds, too, if all that the command complains of matches the pattern. */
export const forgive = `forgive() {
  forgivable=$1; shift
  forgive_error=$("$@" 2>&1 >/dev/null) && return 0
  printf '%s\\n' "$forgive_error" >&2
  ! printf '%s\\n' "$forgive_error" | grep -qvE -e "$forgivable"
}`;

/**
 * A part of a script: makes objects and a snapshot of what packSnapshot's tar has left in `$new`, if `is_whole "$snapshot"`
 * does not hold yet. Expects `$new`, `$objects`, `$snapshot`, `is_whole`, `forgive` and `try_disk`; ends the script with `missingStatus`
 * if the snapshot lacks something, after printing `missing code`, and `no links` if hard links cannot be made.
 *
 * Objects are placed first, hashed and by renaming: they serve the next attempt even where this one cannot be completed. One that is
 * there already gives way, which mends it if it was damaged; older snapshots keep theirs.
 */
export function renderStoreSnapshot({ placement }: Delivery, missingStatus: number): string {
  return `try_disk mkdir -p "$new/objects" "$new/code"
find "$new/objects" -type f -exec sha256sum {} + |
  awk '{ n = split($2, part, "/"); if (substr(part[n], 1, 64) != $1) damaged = 1 } END { exit damaged }' ||
  { echo 'the files of the project arrived damaged' >&2; exit 1; }
try_disk find "$new/objects" -type f -exec sh -c 'exec mv -f "$@" "$0"' "$objects" {} +
${placement === 'copy' ? makeOfCopies : ''}if ! is_whole "$new/code"; then
  : >"$new/probe"
  if ln "$new/probe" "$objects/.\${new##*/.}" 2>/dev/null; then rm -f "$objects/.\${new##*/.}"; else echo 'no links'; fi
  # A file can have so many links only (65,000 on ext4): a copy takes the place of one that is near it.
  find "$objects" -type f -links +${maximumLinks} -exec sh -c \\
    'for object do cp -p "$object" "$0" && mv -f "$0" "$object"; done' "$new/renewed" {} +
  echo 'missing code'
  exit ${missingStatus}
fi
# Two submissions may bring the same tree at once; whichever is second finds it there and is content.
if ! is_whole "$snapshot"; then
  if [ -d "$snapshot" ]; then chmod u+w "$snapshot" && mv -T "$snapshot" "$new/broken"; fi
  find "$new/code" -mindepth 1 -type d -exec chmod a-w {} +
  mv -T "$new/code" "$snapshot" 2>/dev/null || is_whole "$snapshot" || { echo "cannot store $snapshot" >&2; exit 1; }
  chmod u-w "$snapshot"
fi
`;
}

// An object that is missing leaves a link to nothing; the check that follows notices.
const makeOfCopies = `try_disk mkdir -p "$new/tree" "$new/symlinks"
try_disk forgive 'No such file' cp -RL "$new/tree/." "$new/code/"
try_disk cp -RP "$new/symlinks/." "$new/code/"
`;

/**
 * The shell function `copy_tree SNAPSHOT TARGET`, which makes a run's own writable copy. GNU cp copies each hard link on its own;
 * others keep files together that were one object, and a job that wrote to one would write to all of them.
 */
export const copyTree = `copy_tree() {
  cp -Rp "$1" "$2" || return
  case $(cp --version 2>/dev/null) in
  *coreutils*) ;;
  *) find "$2" -type f -links +1 -exec sh -c 'for file do cp -p "$file" "$0" && mv -f "$0" "$file" || exit; done' "$2.copy" {} + ;;
  esac
}`;
