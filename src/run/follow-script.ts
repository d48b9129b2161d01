import { quote } from '../ssh/quote.js';
import { scriptPrelude } from '../ssh/remote-script.js';

/** What ends the following of a log. */
export interface LogWait {
  /** 0 for what is there now. */
  seconds: number;
  /** What the job writes at its end, if that is waited for. */
  sentinel: string | undefined;
}

/** Exit statuses of the script; picked from the range sysexits.h leaves free. */
export const endedStatus = 91;
export const shorterStatus = 92;

/**
 * A shell script that prints what the log has beyond the first `skippedBytes`, and what comes within the time, or until
 * its input closes. Ends with `endedStatus` once the
 * job has written its exit status, and with `shorterStatus` if the log is no longer the same.
 */
export function renderFollow(log: string, skippedBytes: number, { seconds, sentinel }: LogWait): string {
  const from = `-c +${skippedBytes + 1}`;
  return `${scriptPrelude}log=${quote(log)}
if [ ${skippedBytes} -gt 0 ] && [ "$(wc -c <"$log")" -lt ${skippedBytes} ]; then exit ${shorterStatus}; fi
${seconds > 0 ? renderWatch(from, Math.ceil(seconds) * 2, sentinel) : `[ ! -e "$log" ] || tail ${from} "$log"\n`}`;
}

// `tail -F` waits for a file that is not there yet. All it has taken is printed before the script ends.
function renderWatch(from: string, halfSeconds: number, sentinel: string | undefined): string {
  return `exec 3<&0
cat <&3 >/dev/null 2>&1 &
input=$!
tail ${from} -F "$log" 2>/dev/null &
tail=$!
trap 'kill "$tail" "$input" 2>/dev/null; wait "$tail" "$input" 2>/dev/null' EXIT
trap 'exit 0' HUP INT TERM
left=${halfSeconds}
while [ "$left" -gt 0 ] && kill -0 "$input" 2>/dev/null; do
  ${sentinel === undefined ? '' : `if [ -e ${quote(sentinel)} ]; then sleep 1; exit ${endedStatus}; fi\n  `}sleep 0.5
  left=$((left - 1))
done
exit 0
`;
}
