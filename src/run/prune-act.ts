import type { RemoteLayout } from '../cluster/layout.js';
import { discardTrees, renderFindUnusedObjects } from '../cluster/objects.js';
import type { Connection } from '../ssh/connection.js';
import { quote } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import { renderTotal } from './far-listing-script.js';
import type { PruneItem } from './prune-plan.js';

// A parallel file system takes its time for each file of a run.
const actingTimeoutMs = 2 * 60 * 60 * 1000;

export interface PruneResult {
  removed: PruneItem[];
  /** What was used or changed since it was looked at, or could not be removed. */
  kept: PruneItem[];
  /** What root and store hold now. */
  totalBytes: number;
}

/** Removes what a plan names, in its order, by one remote script. What has been used since the listing stays. */
export async function removeItems(
  connection: Connection,
  layout: RemoteLayout,
  items: PruneItem[],
  { withRunSizes, signal }: { withRunSizes: boolean; signal: AbortSignal },
): Promise<PruneResult> {
  const { stdout } = await runRemote(connection, 'removing', renderRemoval(layout, withRunSizes), {
    stdin: Buffer.from(items.map(({ kind, name, seenAt }) => `${kind} ${name} ${seenAt}\n`).join('')),
    timeoutMs: actingTimeoutMs,
    signal,
  });
  const lines = stdout.toString('utf8').split('\n');
  const done = new Set(lines);
  const isRemoved = ({ kind, name }: PruneItem) => done.has(`removed|${kind}|${name}`);
  const total = lines.find((line) => line.startsWith('total|'))?.slice('total|'.length);
  return {
    removed: items.filter(isRemoved),
    kept: items.filter((item) => !isRemoved(item)),
    totalBytes: Number(total ?? 0) * 1024,
  };
}

/**
 * Reads `KIND NAME SEEN` lines. An image first gets another name; then its marks are looked at once more: a job that is
 * submitted at that moment has either left a mark, which brings the image back, or finds it missing.
 */
function renderRemoval(layout: RemoteLayout, withRunSizes: boolean): string {
  const { root, images, uses, code, runs } = layout;
  return `images=${quote(images)} uses=${quote(uses)} root=${quote(root)}
${discardTrees}
drop_tree() {
  [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] || return 1
  discard_trees "$1"
}
drop_file() {
  [ -e "$1" ] || return 0
  [ -O "$1" ] && rm -f "$1" 2>/dev/null && [ ! -e "$1" ]
}
# A tree gets another name first, so that nobody finds half of one.
drop_named_tree() {
  [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] || return 1
  # A directory of a read-only tree cannot be moved elsewhere, but within its parent.
  mv -T "$1" "\${1%/*}/.new-removing-\${1##*/}" && drop_tree "\${1%/*}/.new-removing-\${1##*/}"
}
is_unused() { # sha256, time of the latest mark that was seen
  for mark in "$uses/$1".*; do
    [ -e "$mark" ] || continue
    [ "$(stat -c %Y "$mark")" -le "$2" ] || return 1
  done
}
drop_image() { # name, seen
  sha=\${1%%.*} away=$images/.removing-$1
  [ -f "$images/$1" ] && [ -O "$images/$1" ] && is_unused "$sha" "$2" || return 1
  mv "$images/$1" "$away" 2>/dev/null || return 1
  if ! is_unused "$sha" "$2"; then
    [ -e "$images/$1" ] || mv "$away" "$images/$1"
    rm -f "$away"
    return 1
  fi
  rm -f "$away" "$images/$sha.chunks" "$images/$sha.json" "$uses/$sha.$(id -un)" 2>/dev/null
  [ ! -e "$away" ]
}
drop() {
  case $1 in
    image) drop_image "$2" "$3" ;;
    companion)
      [ ! -e "$images/\${2%%.*}.sif" ] && [ ! -e "$images/\${2%%.*}.sqfs" ] && drop_file "$images/$2" ;;
    remains) drop_file "$images/$2" ;;
    upload)
      [ -z "$(find "$images/$2" -maxdepth 1 \\( -name lock -o -type d \\) -mmin "-$3" 2>/dev/null)" ] && drop_tree "$images/$2" ;;
    use)
      case $(stat -c %Y "$uses/$2" 2>/dev/null) in '' | "$3") drop_file "$uses/$2" ;; *) return 1 ;; esac ;;
    snapshot) drop_named_tree ${quote(code)}/"$2" ;;
    run) drop_named_tree ${quote(runs)}/"$2" ;;
    leftover) drop_tree "$root/$2" ;;
    conversion) drop_tree "$root/conversions/$2" ;;
    objects)
      # Once for the others, too: what the snapshots that have just gone held.
      ${renderFindUnusedObjects(layout)} -delete ;;
    *) return 1 ;;
  esac
}
while read -r kind name seen; do
  case $name in *..* | *[!A-Za-z0-9._@/-]*) continue ;; esac
  if drop "$kind" "$name" "$seen" </dev/null; then printf 'removed|%s|%s\\n' "$kind" "$name"; else printf 'kept|%s|%s\\n' "$kind" "$name"; fi
done
${renderTotal(layout, withRunSizes)}
`;
}
