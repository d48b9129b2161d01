import type { RemoteLayout } from '../cluster/layout.js';
import { withStep } from '../progress.js';
import { quote } from '../ssh/quote.js';
import { remoteFailure, scriptPrelude } from '../ssh/remote-script.js';
import type { Session } from './session.js';

export interface DamagedImage {
  sha256: string;
  /** What its bytes hash to. */
  found: string;
  /** Whether it got another name, so that it is sent anew; only its owner can do that. */
  isSetAside: boolean;
}

export interface Verification {
  /** How many were read. */
  checked: number;
  damaged: DamagedImage[];
  /** sha256 of whole images whose chunk index is not: it was removed, and no difference can be made from them. */
  damagedIndexes: string[];
  /** sha256 of those that may not be read. */
  unreadable: string[];
}

/** Reads every image of the store and compares it with its name. What is damaged is set aside and said. */
export async function verifyImages(session: Session): Promise<Verification> {
  const layout = await session.layout();
  const connection = await session.connect();
  return await withStep(
    session.progress,
    'Reading the images',
    async (step) => {
      let text = '';
      const result = await connection.stream(scriptPrelude + renderVerification(layout), {
        signal: session.signal,
        onStdout: (chunk) => {
          text += chunk.toString('latin1');
          const current = [...text.matchAll(/^reading\|(\d+)\|(\d+)\|/gm)].at(-1);
          if (current) step.update(`${current[1] ?? ''} of ${current[2] ?? ''}`);
        },
      });
      if (result.exitCode !== 0) throw remoteFailure(connection, 'reading the images', result);
      return parseVerification(text);
    },
    ({ checked, damaged }) =>
      `Read ${checked} images: ${damaged.length === 0 ? 'all are whole' : `${damaged.length} damaged`}`,
  );
}

function renderVerification({ images }: RemoteLayout): string {
  return `cd ${quote(images)} 2>/dev/null || exit 0
# Others work on the login node. (Scripts run in a subshell, which $$ does not name.)
renice -n 10 -p "$(exec sh -c 'echo $PPID')" >/dev/null 2>&1
set --
for image in *.sif *.sqfs; do
  case \${image%%.*} in *[!0-9a-f]*) continue ;; esac
  [ -f "$image" ] && set -- "$@" "$image"
done
number=0
for image in "$@"; do
  number=$((number + 1))
  printf 'reading|%s|%s|\\n' "$number" "$#" || exit 1
  sha=\${image%%.*}
  if [ ! -r "$image" ]; then
    printf 'unreadable|%s|\\n' "$sha"
    continue
  fi
  sum=$(sha256_of <"$image")
  if [ "$sum" = "$sha" ]; then
    printf 'whole|%s|\\n' "$sha"
    index=$sha.chunks
    # Its last 32 bytes are the sha256 of the others.
    [ -r "$index" ] || continue
    length=$(($(stat -Lc %s "$index") - 32))
    if [ "$(head -c "$length" "$index" | sha256_of)" != "$(tail -c 32 "$index" | od -An -v -tx1 | tr -d ' \\n')" ]; then
      if [ -O "$index" ]; then rm -f "$index"; fi
      printf 'index|%s|\\n' "$sha"
    fi
  elif [ "\${#sum}" -ne 64 ]; then
    echo "$image could not be read to its end" >&2
    exit 1
  elif [ -O "$image" ] && mv "$image" ".damaged-$image.$(date +%s)"; then
    rm -f "$sha.chunks"
    printf 'damaged|%s|%s|aside|\\n' "$sha" "$sum"
  else
    printf 'damaged|%s|%s|there|\\n' "$sha" "$sum"
  fi
done
`;
}

/** Exported for tests. */
export function parseVerification(text: string): Verification {
  const words = (pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match.slice(1));
  const damaged = words(/^damaged\|([0-9a-f]{64})\|([0-9a-f]{64})\|(aside|there)\|$/gm).map(
    ([sha256 = '', found = '', where]) => ({ sha256, found, isSetAside: where === 'aside' }),
  );
  const whole = words(/^whole\|([0-9a-f]{64})\|$/gm);
  const unreadable = words(/^unreadable\|([0-9a-f]{64})\|$/gm).map(([sha256 = '']) => sha256);
  const damagedIndexes = words(/^index\|([0-9a-f]{64})\|$/gm).map(([sha256 = '']) => sha256);
  return { checked: whole.length + damaged.length, damaged, damagedIndexes, unreadable };
}
