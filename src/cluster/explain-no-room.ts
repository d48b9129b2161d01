import { HpcrunError } from '../errors.js';
import { formatBytes } from '../progress.js';
import type { Connection } from '../ssh/connection.js';
import { quote } from '../ssh/quote.js';
import { scriptPrelude } from '../ssh/remote-script.js';
import { printable } from '../ssh/terminal-text.js';
import type { RemoteLayout } from './layout.js';
import { parseSpace, renderSpaceProbe, type Space } from './space.js';

// Counting a large tree takes long on a parallel file system; the user is waiting for an error.
const patienceMs = 60_000;

/**
 * Text for the hint of REMOTE_DISK_FULL: what uses the space below root and store, largest first, what is left, and
 * which clean-up would help. Says less where the cluster does not answer.
 */
export async function explainNoRoom(
  connection: Connection,
  layout: RemoteLayout,
  signal: AbortSignal,
): Promise<string> {
  let said = '';
  try {
    const result = await connection.run(scriptPrelude + renderUsage(layout), { timeoutMs: patienceMs, signal });
    said = result.stdout.toString('utf8');
  } catch (error) {
    if (!(error instanceof HpcrunError) || error.code === 'INTERRUPTED') throw error;
  }
  return renderUsageHint(parseUsage(said), parseSpace(said));
}

/** Prints `usage NAME KIB` for each part of root and store, `unused KIB` and `abandoned KIB`, and what space is left. */
function renderUsage(layout: RemoteLayout): string {
  const parts = { images: layout.images, objects: layout.objects, code: layout.code, runs: layout.runs };
  // A file with several links is counted once by one du.
  return `for pair in ${Object.entries(parts)
    .map(([name, path]) => quote(`${name}=${path}`))
    .join(' ')} ${quote(`conversions=${layout.root}/conversions`)}; do
  path=\${pair#*=}
  [ -d "$path" ] || continue
  printf 'usage %s %s\\n' "\${pair%%=*}" "$(nice du -sk "$path" 2>/dev/null | cut -f 1)"
done
sizes() { du -sk "$@" 2>/dev/null | awk '{ sum += $1 } END { print sum + 0 }'; }
printf 'usage incoming %s\\n' "$(sizes ${quote(layout.images)}/.incoming-*)"
printf 'abandoned %s\\n' "$(sizes ${quote(layout.images)}/.damaged-*)"
used=$(cat ${quote(layout.runs)}/*/run.json 2>/dev/null | grep -o '"[0-9a-f]\\{64\\}"' | tr -d '"' | sort -u)
unused=0
for image in ${quote(layout.images)}/*.sif ${quote(layout.images)}/*.sqfs; do
  [ -f "$image" ] && [ -O "$image" ] || continue
  name=\${image##*/}
  case $used in *"\${name%%.*}"*) continue ;; esac
  unused=$((unused + $(stat -c %s "$image") / 1024))
done
printf 'unused %s\\n' "$unused"
${renderSpaceProbe(layout.store)}`;
}

export interface Usage {
  /** Bytes by part, such as `images`; what is incoming is part of the images. */
  parts: Map<string, number>;
  /** Bytes of one's own images that no run uses. */
  unusedBytes: number;
  /** Bytes of images that were found to be damaged. */
  damagedBytes: number;
}

/** Exported for tests. */
export function parseUsage(text: string): Usage {
  const parts = new Map(
    [...text.matchAll(/^usage (\w+) (\d+)$/gm)].map(([, name = '', size]) => [name, Number(size) * 1024]),
  );
  const bytes = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? 0) * 1024;
  return { parts, unusedBytes: bytes(/^unused (\d+)$/m), damagedBytes: bytes(/^abandoned (\d+)$/m) };
}

const words: Record<string, string> = {
  images: 'images',
  incoming: 'of these, images that are not complete',
  objects: 'files of projects',
  code: 'snapshots of projects',
  runs: 'runs and their results',
  conversions: 'conversions',
};

/** Exported for tests. */
export function renderUsageHint({ parts, unusedBytes, damagedBytes }: Usage, space: Space): string {
  const incoming = parts.get('incoming') ?? 0;
  const lines = [...parts]
    .filter(([name, bytes]) => name !== 'incoming' && bytes > 0)
    .sort(([, a], [, b]) => b - a)
    .flatMap(([name, bytes]) => [
      `  ${formatBytes(bytes).padStart(8)}  ${words[name] ?? printable(name)}`,
      ...(name === 'images' && incoming > 0
        ? [`  ${formatBytes(incoming).padStart(8)}    ${words.incoming ?? ''}`]
        : []),
    ]);
  const runs = parts.get('runs') ?? 0;
  const advice = [
    ...(unusedBytes + damagedBytes > 0
      ? [`"hpcrun prune --all" would free up to ${formatBytes(unusedBytes + damagedBytes)}: images that no run uses.`]
      : []),
    ...(runs > 0
      ? [`"hpcrun prune --older-than 7d" would also remove ended runs as old as that (all runs: ${formatBytes(runs)}).`]
      : []),
  ];
  return [
    ...(lines.length > 0 ? ['hpcrun uses there:', ...lines] : []),
    ...describeLeft(space),
    ...(advice.length > 0
      ? advice
      : ['Free some space or quota there, or set another "root:" or "store:" for the cluster.']),
    'What was sent is kept: the same command goes on from there.',
  ].join('\n');
}

function describeLeft({ freeBytes, freeInodes, quotaLeftBytes, quotaLeftInodes }: Space): string[] {
  const left = [
    ...(freeBytes === undefined ? [] : [`${formatBytes(freeBytes)} free`]),
    ...(freeInodes === undefined ? [] : [`room for ${freeInodes} files`]),
    ...(quotaLeftBytes === undefined ? [] : [`${formatBytes(quotaLeftBytes)} of your quota left`]),
    ...(quotaLeftInodes === undefined ? [] : [`${quotaLeftInodes} files of your quota left`]),
  ];
  return left.length === 0 ? [] : [`On its file system: ${left.join(', ')}.`];
}
