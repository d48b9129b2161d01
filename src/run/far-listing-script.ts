import type { RemoteLayout } from '../cluster/layout.js';
import { renderFindUnusedObjects } from '../cluster/objects.js';
import { renderQuery } from '../slurm/query.js';
import { quote } from '../ssh/quote.js';

/** Only such names are hpcrun's; others are counted and left alone. */
export const namePattern = '*[!A-Za-z0-9._@-]*';

/**
 * Lists what root and store hold: a line each, fields apart by `|`; behind `query`, what `parseQuery` reads. Times are
 * seconds of the file system's own clocks. Nothing is followed that is a link. `withRunSizes` counts runs too, which takes long.
 */
export function renderFarListing(layout: RemoteLayout, { withRunSizes }: { withRunSizes: boolean }): string {
  const { root, store, images, uses, objects, code, runs } = layout;
  return `root=${quote(root)} store=${quote(store)} images=${quote(images)} uses=${quote(uses)}
code=${quote(code)} objects=${quote(objects)} runs=${quote(runs)}
list() { # directory, format, what else find shall look for
  [ -d "$1" ] || return 0
  (cd "$1" && format=$2 && shift 2 && find . -mindepth 1 -maxdepth 1 ! -name ${quote(namePattern)} "$@" -printf "$format")
}
kib() { nice du -sk "$1" 2>/dev/null | cut -f 1; }
printf 'now|%s\\nuser|%s\\n' "$(date +%s)" "$(id -un)"
list "$images" 'file|%y|%s|%T@|%u|%f\\n' ! -name '.incoming-*'
list "$images" '%f\\n' -type d -name '.incoming-*' | while read -r name; do
  at=$(stat -c %Y "$images/$name/lock" 2>/dev/null || stat -c %Y "$images/$name")
  printf 'incoming|%s|%s|%s|%s\\n' "$(kib "$images/$name")" "$at" "$(stat -c %U "$images/$name")" "$name"
done
list "$images" '%f\\n' -type f -name '*.json' -size -9 | while read -r name; do
  printf 'about|%s|%s\\n' "\${name%.json}" "$(tr '\\n' ' ' <"$images/$name")"
done
list "$uses" 'use|%T@|%u|%f\\n' -type f
if [ -d "$uses" ]; then
  (cd "$uses" && find . -mindepth 1 -maxdepth 1 -type f ! -name ${quote(namePattern)} -exec awk '/^[0-9]+$/ { print "job|" substr(FILENAME, 3) "|" $0 }' {} +)
fi
list "$code" 'snapshot|%T@|%f\\n' -type d ! -name '.*' | while IFS='|' read -r word at name; do
  printf '%s|%s|%s|%s\\n' "$word" "$(kib "$code/$name")" "$at" "$name"
done
for place in code runs objects; do
  list "$root/$place" "$place/%f\\\\n" -name '.new-*' | while read -r name; do
    printf 'leftover|%s|%s|%s\\n' "$(kib "$root/$name")" "$(stat -c %Y "$root/$name")" "$name"
  done
done
list "$root/conversions" '%f\\n' -type d | while read -r name; do
  at=$(find "$root/conversions/$name" -maxdepth 1 -printf '%T@\\n' | sort -n | tail -n 1)
  printf 'conversion|%s|%s|%s\\n' "$(kib "$root/conversions/$name")" "$at" "$name"
done
if [ -d "$objects" ]; then
  ${renderFindUnusedObjects(layout)} -printf '%s\\n' | awk '{ sum += $1 } END { printf "objects|%d|%d\\n", NR, sum }'
fi
list "$runs" '%f\\n' -type d ! -name '.*' | while read -r name; do
  # All that a run may need is named by a sha256.
  needs=$(grep -o '"[0-9a-f]\\{64\\}"' "$runs/$name/run.json" 2>/dev/null | tr -d '"\\n' | sed 's/.\\{64\\}/& /g')
  # A run that has not ended by itself, and a sweep, whose tasks end one by one, are as young as the last thing its jobs have done.
  at=$(stat -c %Y "$runs/$name/state/exit" 2>/dev/null ||
    (cd "$runs/$name" && find state logs tasks -maxdepth 3 -name work -prune -o -printf '%T@\\n' 2>/dev/null) | sort -n | tail -n 1)
  [ -n "$at" ] || at=$(stat -c %Y "$runs/$name")
  printf 'needs|%s|%s|%s|%s\\n' "$name" ${withRunSizes ? '"$(kib "$runs/$name")"' : "''"} "\${at%.*}" "$needs"
done
for place in "$images" "$uses" "$code" "$runs"; do
  [ -d "$place" ] && find "$place" -mindepth 1 -maxdepth 1 -name ${quote(namePattern)} -printf 'odd|\\n'
done
${renderTotal(layout, withRunSizes)}
if find_slurm; then
  jobs=$(cd "$uses" 2>/dev/null && find . -mindepth 1 -maxdepth 1 -type f -exec awk '/^[0-9]+$/' {} + | sort -u)
  # Some sites show nobody the jobs of others; what cannot be seen counts as running.
  case $(scontrol show config </dev/null 2>/dev/null | sed -n 's/^PrivateData *= *//p') in
    '' | *jobs* | *all*) echo 'private|' ;;
  esac
  # Asked for a single job that it has forgotten, squeue fails; of several, it shows those it knows.
  for some in $(printf '%s\\n' $jobs | awk 'NF { line = line "," $1 } NR % 1000 == 0 { print substr(line, 2); line = "" } END { if (line != "") print substr(line, 2) }'); do
    answer=$(squeue -h -j "$some" -o 'live|%F|%A' </dev/null 2>&1) || case $answer in
      *'Invalid job id specified'*) case $some in *,*) answer='unanswered|' ;; *) answer= ;; esac ;;
      *) answer='unanswered|' ;;
    esac
    printf '%s\\n' "$answer"
  done
else
  echo 'unanswered|'
fi
echo 'query|'
${renderQuery(runs, undefined)}`;
}

/** Prints `total|KIB`: what root and store hold, files with several links counted once. */
export function renderTotal({ root, images, code, objects, runs }: RemoteLayout, withRuns: boolean): string {
  const places = [images, code, objects, `${root}/conversions`, ...(withRuns ? [runs] : [])];
  return `printf 'total|%s\\n' "$(nice du -sk ${places.map(quote).join(' ')} 2>/dev/null | awk '{ sum += $1 } END { print sum + 0 }')"`;
}
