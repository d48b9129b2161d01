import { HpcrunError } from '../errors.js';
import { formatBytes } from '../progress.js';
import { quote } from '../ssh/quote.js';

/** What is left for the user below a directory of the cluster; undefined where nothing tells. */
export interface Space {
  freeBytes: number | undefined;
  freeInodes: number | undefined;
  /** Of the user's quota, or the directory's project's: the smallest. */
  quotaLeftBytes: number | undefined;
  quotaLeftInodes: number | undefined;
}

const mark = 'hpcrun-space';

/**
 * A fragment that prints what df, quota and lfs say of a directory, or of what it will be made in. No tool has to be there,
 * none fails the script, and none is waited for longer than ten seconds.
 */
export function renderSpaceProbe(directory: string): string {
  return `space_of=${quote(directory)}
while [ ! -d "$space_of" ] && [ -n "$space_of" ]; do space_of=\${space_of%/*}; done
space_of=\${space_of:-/}
# A server of quotas that is down lets its clients wait.
space_ask() {
  command -v "$1" >/dev/null || return 0
  if command -v timeout >/dev/null; then timeout 10 "$@"; else "$@"; fi 2>/dev/null </dev/null
}
echo '${mark} blocks'
space_ask df -Pk "$space_of"
echo '${mark} inodes'
space_ask df -Pi "$space_of"
echo '${mark} quota'
space_ask quota -wp
if command -v lfs >/dev/null; then
  echo '${mark} lfs'
  space_ask lfs quota -q -u "$(id -u)" "$space_of"
  space_project=$(space_ask lfs project -d "$space_of" | awk '{ print $1; exit }')
  case $space_project in
    '' | 0 | *[!0-9]*) ;;
    *)
      echo '${mark} lfs'
      space_ask lfs quota -q -p "$space_project" "$space_of" ;;
  esac
fi
echo '${mark} end'
`;
}

/** What the probe printed; text around it is passed over. */
export function parseSpace(text: string): Space {
  const sections = text.split(new RegExp(`^${mark} `, 'm')).map((section) => {
    const end = section.indexOf('\n');
    return { name: section.slice(0, end), body: section.slice(end + 1) };
  });
  const bodies = (name: string) => sections.filter((section) => section.name === name).map(({ body }) => body);
  const blocks = parseDf(bodies('blocks')[0] ?? '');
  const inodes = parseDf(bodies('inodes')[0] ?? '');
  const rows = [
    ...bodies('quota').flatMap((body) => parseQuota(body, blocks?.device)),
    ...bodies('lfs').flatMap((body) => parseLfsQuota(body)),
  ];
  return {
    freeBytes: blocks && blocks.available * 1024,
    // btrfs and its like have no fixed number of inodes, and say 0 of 0.
    freeInodes: inodes?.total === 0 ? undefined : inodes?.available,
    quotaLeftBytes: smallest(rows.map(({ blocksLeft }) => blocksLeft && { left: blocksLeft.left * 1024 })),
    quotaLeftInodes: smallest(rows.map(({ filesLeft }) => filesLeft)),
  };
}

/** The line of `df -P` (POSIX: file system, total, used, available, capacity, mounted on). */
function parseDf(text: string): { device: string; total: number; available: number } | undefined {
  const match = /^(\S.*?)\s+(\d+)\s+(?:\d+|-)\s+(-?\d+|-)\s+(?:\d+%|-)\s+\//m.exec(text);
  if (!match) return undefined;
  // Where users have used what is kept for root, it is less than nothing.
  return { device: match[1] ?? '', total: Number(match[2]), available: Math.max(0, Number(match[3]) || 0) };
}

interface QuotaRow {
  blocksLeft: Left | undefined;
  filesLeft: Left | undefined;
}

/** Undefined where there is no limit. */
type Left = { left: number } | undefined;

// Used, soft limit, hard limit, and a time of grace that may be absent; then the same for files. Lustre puts brackets around
// what not all servers have told, and both mark what is exceeded with an asterisk.
const amount = String.raw`\[?(\d+)\]?\*?`;
const rowPattern = new RegExp(
  String.raw`(?:^|\s)${amount}\s+${amount}\s+${amount}\s+(?:\S+\s+)?${amount}\s+${amount}\s+${amount}(?:\s+\S+)?\s*$`,
);

function parseRow(text: string): QuotaRow[] {
  const match = rowPattern.exec(text);
  if (!match) return [];
  const [usedBlocks = 0, softBlocks = 0, hardBlocks = 0, usedFiles = 0, softFiles = 0, hardFiles = 0] = match
    .slice(1)
    .map(Number);
  return [{ blocksLeft: left(usedBlocks, softBlocks, hardBlocks), filesLeft: left(usedFiles, softFiles, hardFiles) }];
}

/** Zero stands for no limit; beyond a soft one, writing goes on for the time of grace. */
function left(used: number, soft: number, hard: number): Left {
  const limit = hard === 0 ? soft : hard;
  return limit === 0 ? undefined : { left: Math.max(0, limit - used) };
}

/** Of `quota -w`, the line of the file system that df names (quota man page; blocks of 1 KiB). */
function parseQuota(text: string, device: string | undefined): QuotaRow[] {
  if (device === undefined) return [];
  const line = text.split('\n').find((row) => row.trim().startsWith(`${device} `));
  return line === undefined ? [] : parseRow(line.trim().slice(device.length));
}

/** Of `lfs quota -q` (Lustre manual; KiB); a long name of a file system has a line of its own. Further lines are remarks. */
function parseLfsQuota(text: string): QuotaRow[] {
  const lines = text.split('\n').map((line) => line.replace(/^\s*\/\S*/, ''));
  for (const line of lines) {
    const rows = parseRow(line);
    if (rows.length > 0) return rows;
  }
  return [];
}

function smallest(values: Left[]): number | undefined {
  const known = values.flatMap((value) => (value === undefined ? [] : [value.left]));
  return known.length === 0 ? undefined : Math.min(...known);
}

/**
 * Throws REMOTE_DISK_FULL if what is needed is more than there is, before anything is sent.
 * @param where the place, for the message, such as `/scratch/ada on claix`
 */
export function requireRoom(space: Space, needed: { bytes: number; inodes: number }, where: string): void {
  const { freeBytes = Infinity, freeInodes = Infinity, quotaLeftBytes = Infinity, quotaLeftInodes = Infinity } = space;
  const refuse = (what: string) =>
    new HpcrunError('REMOTE_DISK_FULL', `no room in ${where}: ${what}; nothing was sent`, {
      hint: '"hpcrun prune --dry-run" shows what could go there; "hpcrun images" shows what the images cost.',
    });
  if (needed.bytes > quotaLeftBytes) {
    throw refuse(`${formatBytes(needed.bytes)} are needed, ${formatBytes(quotaLeftBytes)} of your quota are left`);
  }
  if (needed.bytes > freeBytes) {
    throw refuse(`${formatBytes(needed.bytes)} are needed, ${formatBytes(freeBytes)} are free`);
  }
  if (needed.inodes > quotaLeftInodes) {
    throw refuse(`${needed.inodes} files are to be made, and your quota leaves ${quotaLeftInodes}`);
  }
  if (needed.inodes > freeInodes) {
    throw refuse(`${needed.inodes} files are to be made, and its file system has room for ${freeInodes}`);
  }
}
