import { quote, quoteAll } from '../ssh/quote.js';
import type { RemoteLayout } from './layout.js';

/** Octal mode of an image: it never changes, and who may look into its directory may read it. */
export const imageMode = '0440';

/**
 * A fragment for a script behind `scriptPrelude` that makes `images` and `uses` of a store. Without a group they are
 * the user's own (0700), wherever they are. With one, its members may add and read (3770: what is made below
 * belongs to the group, and only its owner may remove or replace it); directories of one's own that were made
 * otherwise are changed, with the files in them. Ends the script with status 1 and says why where the user is no member of the
 * group or may not write.
 */
export function renderMakeStore(layout: RemoteLayout, group: string | undefined): string {
  const directories = [layout.images, layout.uses];
  if (group === undefined) return `try_disk mkdir -p ${quoteAll(directories)}\n`;
  return `store=${quote(layout.store)} store_group=${quote(group)}
refuse_store() {
  printf '%s\\n' "$1" >&2
  exit 1
}
open_to_group() {
  chgrp "$store_group" "$1" && chmod 3770 "$1" || refuse_store "cannot give $1 to the group $store_group"
}
id -Gn | tr ' ' '\\n' | grep -Fqx -e "$store_group" ||
  refuse_store "the image store $store is for the group $store_group, and you are not in it. Your groups: $(id -Gn). Ask whoever looks after the group, or take the store out of the configuration."
case $store in */*) store_parent=\${store%/*} ;; esac
(umask 022 && try_disk mkdir -p "\${store_parent:-/}") || exit $?
for store_directory in "$store" ${quoteAll(directories)}; do
  if [ ! -d "$store_directory" ]; then
    # Two members may come at once: it gets its name when its modes are right.
    store_new=\${store_directory%/*}/.new-store-$(id -u)-$$
    try_disk mkdir "$store_new"
    open_to_group "$store_new"
    mv -T "$store_new" "$store_directory" 2>/dev/null || rmdir "$store_new"
  elif [ -O "$store_directory" ] && [ "$(stat -c '%a %G' "$store_directory")" != "3770 $store_group" ]; then
    open_to_group "$store_directory"
    case $store_directory in
      */images) find "$store_directory" -maxdepth 1 -type f -user "$(id -u)" -exec chgrp "$store_group" {} + -exec chmod 0440 {} + ;;
      */uses) find "$store_directory" -maxdepth 1 -type f -user "$(id -u)" -exec chgrp "$store_group" {} + -exec chmod 0640 {} + ;;
    esac
  fi
  [ -w "$store_directory" ] && [ -x "$store_directory" ] ||
    refuse_store "you may not write to $store_directory of the image store, which belongs to $(stat -c '%U:%G, mode %a' "$store_directory" 2>/dev/null). Its owner can mend it: chgrp $store_group and chmod 3770."
done
`;
}
