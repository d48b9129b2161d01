import type { RunLayout } from '../../cluster/layout.js';
import { quote } from '../../ssh/quote.js';

/**
 * The beginning of what bash runs on the job's node: `enter` is the command that starts a container like the job's, up to the image; its
 * arguments are what is to run there. The job writes it down when it starts (slurm-templates/partials/enter.sh.ejs).
 */
export function nodeScript(
  { state, sentinel }: RunLayout,
  { terminal, holds }: { terminal: string | undefined; holds: boolean },
): string {
  return `state=${quote(state)}
for ((left = 300; left > 0; left--)); do
  [ ! -e "$state/enter.sh" ] && [ ! -e ${quote(sentinel)} ] || break
  sleep 0.1
done
if ! . "$state/enter.sh" 2>/dev/null; then
  echo 'hpcrun: the job has no container that can be entered: it has just ended, or its script does not say how (enter.sh)' >&2
  exit 255
fi
${holds ? holdAllocation : ''}${terminal === undefined ? '' : `export APPTAINERENV_TERM=${quote(terminal)} SINGULARITYENV_TERM=${quote(terminal)}\n`}`;
}

/** The job of `hpcrun shell` lasts as long as this process, and has its status (slurm-templates/partials/hold.sh.ejs). */
const holdAllocation = `echo $$ >"$scratch/held.part" && mv "$scratch/held.part" "$scratch/held" || exit 255
trap 'status=$?; echo "$status" >"$scratch/status"' EXIT
`;

/** Runs the command on the terminal there is. */
export const onTerminal = `"\${enter[@]}" "$@"
exit "$?"
`;

/**
 * Runs the command with what `ControlledInput` sends on standard input: `N`, a line feed and N bytes of the command's own input, `end`
 * after the last of it, or the name of a signal. If standard input ends without a word, whoever sent it has gone, and so goes the command.
 */
export const carriedInput = `pipes=$(mktemp -d "$scratch/exec.XXXXXX") && mkfifo "$pipes/in" "$pipes/out" || exit 255
exec 4<&0
# In a group of its own, and without SIGINT ignored, as commands in the background would have it.
set -m
"\${enter[@]}" "$@" <"$pipes/in" >"$pipes/out" 4<&- &
command=$!
# srun gives a terminal for output that it does not buffer; the command is not to see one.
cat "$pipes/out" 4<&- &
output=$!
hang_up() {
  kill -TERM "$command"
  sleep 10
  kill -KILL -- "-$command"
} 2>/dev/null
listen() {
  exec 3>"$pipes/in"
  while IFS= read -r word; do
    case $word in
      end) exec 3>&- ;;
      INT | TERM | QUIT | HUP) kill -s "$word" "$command" 2>/dev/null ;;
      # A command that reads no more is not sent more, and what comes cannot be told apart.
      *) head -c "$word" >&3 2>/dev/null || exec cat >/dev/null ;;
    esac
  done
  hang_up
}
listen <&4 4<&- >/dev/null &
listener=$!
# Its end is nothing to report.
disown "$listener"
exec 4<&-
wait "$command" 2>/dev/null
status=$?
wait "$output"
kill -KILL -- "-$listener" 2>/dev/null
rm -rf "$pipes"
exit "$status"
`;
