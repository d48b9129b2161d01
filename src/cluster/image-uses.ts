import { quote, quoteAll } from '../ssh/quote.js';
import type { RemoteLayout } from './layout.js';

/**
 * Shell functions for a script behind `scriptPrelude`, in a store that has been made, that say who uses which images, given as
 * sha256 of their files. `mark_uses` is called before anybody looks whether the images are there: a clean-up that comes
 * in between then leaves them alone, or they are found missing. `record_use JOB` is called when sbatch has answered.
 *
 * A mark is the file `<sha256>.<user>`: one SLURM job id a line, its time the last use by that user. A group reads the marks of its
 * members. Only a plain file of one's own is written to, since another member could have put a link in its place. Where
 * a mark cannot be made, the script ends: the images would not be safe.
 */
export function renderUseMarks(layout: RemoteLayout, sha256s: string[], group: string | undefined): string {
  return `use_marks=
# The shell's rules for names of files, whatever a directory service calls the user.
use_name=$(id -un | tr -cd 'A-Za-z0-9._@-' | cut -c 1-100)
[ -n "$use_name" ] || use_name=$(id -u)
for use_image in ${quoteAll([...new Set(sha256s)])}; do use_marks="$use_marks $use_image.$use_name"; done
mark_uses() {
  try_disk mkdir -p ${quote(layout.uses)}
  for use_mark in $use_marks; do
    use_mark=${quote(layout.uses)}/$use_mark
    if [ -e "$use_mark" ] || [ -L "$use_mark" ]; then
      if [ -L "$use_mark" ] || [ ! -f "$use_mark" ] || [ ! -O "$use_mark" ]; then
        printf '%s\\n' "$use_mark is not your own file: ask its owner to remove it" >&2
        exit 1
      fi
    fi
    try_disk touch "$use_mark"
    chmod ${group === undefined ? '0600' : '0640'} "$use_mark"
  done
  for use_image in ${quoteAll([...new Set(sha256s)])}; do
    touch -c ${quote(layout.images)}/"$use_image".sif ${quote(layout.images)}/"$use_image".sqfs 2>/dev/null
  done
}
record_use() { # job id
  for use_mark in $use_marks; do
    printf '%s\\n' "$1" >>${quote(layout.uses)}/"$use_mark"
  done
}
`;
}
