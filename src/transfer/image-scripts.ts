import { posix } from 'node:path';
import { quote } from '../ssh/quote.js';
import { diskFullStatus, scriptPrelude } from '../ssh/remote-script.js';
import { blockBytes, blockLength, blockMark, countBlocks } from './blocks.js';
import { sketchBytes } from './chunk-index.js';

/** An image as it is to stand on the far side. */
export interface IncomingImage {
  sha256: string;
  sizeBytes: number;
  /** Where it goes; a chunk index is put beside it. */
  path: string;
  /** Octal, such as `0440`. */
  mode: string;
  /** Shell commands that make the directory, and may end the script. */
  makeStore: string;
}

export const damagedStatus = 91;
export const busyStatus = 97;
export const storedStatus = 98;

// Without a sign of life for so long, an upload counts as abandoned, and whoever comes next takes it over.
const lockMinutes = 2;

/** At most so many images are looked at as bases, the newest. */
const sketchesAsked = 50;

const sketchMark = 'sketches';

/** Lines the survey prints; what stands behind `sketches` is binary. */
export const surveyLine = {
  present: 'present',
  busy: 'busy ',
  blocks: 'blocks',
  plan: 'plan ',
  done: 'done ',
  arrived: 'arrived ',
  sketches: sketchMark,
} as const;

function renderHead({ sha256, sizeBytes, path, mode }: IncomingImage): string {
  return `${scriptPrelude}images=${quote(posix.dirname(path))}
target=${quote(path)}
incoming="$images/.incoming-${sha256}-$(id -u)"
is_there() { [ "$(stat -Lc %s "$target" 2>/dev/null)" = ${sizeBytes} ]; }
mode=${mode}
# Whether dd can read and write exactly so many bytes exactly there.
has_blocks() {
  printf x | dd bs=1 iflag=fullblock,count_bytes,skip_bytes count=1 oflag=seek_bytes seek=0 conv=notrunc of=/dev/null 2>/dev/null
}
copy_range() { # file, offset, length
  if [ "$blocks" ]; then dd if="$1" bs=1048576 iflag=skip_bytes,count_bytes skip="$2" count="$3" 2>/dev/null
  else tail -c "+$(($2 + 1))" "$1" | head -c "$3"; fi
}
blocks=
if has_blocks; then blocks=yes; fi
`;
}

/**
 * Asks what is there of an image, who is sending it, how much room there is (`spaceProbe`, shell commands that print lines of their
 * own), and what the other images look like. Changes nothing.
 */
export function renderSurvey(image: IncomingImage, spaceProbe: string): string {
  return `${renderHead(image)}if is_there; then echo ${surveyLine.present}; exit 0; fi
for lock in $(find "$images"/.incoming-${image.sha256}-*/lock -mmin -${lockMinutes} 2>/dev/null); do
  sed 's/^/${surveyLine.busy}/;q' "$lock"
done
if [ "$blocks" ]; then echo ${surveyLine.blocks}; fi
# Without what it copies from, a plan is worth nothing.
has_sources() {
  for source in $(sed -n 's/^copy [0-9]* [0-9]* //p' "$incoming/plan" | sort -u); do
    [ -e "$images/$source.sif" ] || return 1
  done
}
if [ -e "$incoming/plan" ] && has_sources; then
  sed 's/^/${surveyLine.plan}/' "$incoming/plan"
  cat "$incoming"/done.* 2>/dev/null | sed 's/^/${surveyLine.done}/'
  echo "${surveyLine.arrived}$(stat -Lc %s "$incoming/data" 2>/dev/null)"
fi
(
${spaceProbe}
)
echo ${surveyLine.sketches}
cd "$images" 2>/dev/null || exit 0
ls -t | grep -E '^[0-9a-f]{64}[.]chunks$' | head -n ${sketchesAsked} | while IFS= read -r index; do
  sha256=\${index%.chunks}
  if [ -e "$sha256.sif" ] && [ "$(stat -Lc %s "$index")" -gt ${sketchBytes} ]; then
    printf %s "$sha256"
    head -c ${sketchBytes} "$index"
  fi
done
exit 0
`;
}

/** Prints chunk indexes, each behind a line with its image and size; the images' names come on standard input. */
export function renderIndexFetch(directory: string): string {
  return `${scriptPrelude}cd ${quote(directory)} || exit 1
while read -r sha256; do
  if [ -r "$sha256.chunks" ]; then
    printf '%s %s\\n' "$sha256" "$(stat -Lc %s "$sha256.chunks")"
    cat "$sha256.chunks"
  fi
done
`;
}

/**
 * Begins or goes on with an upload: takes the lock, and puts down what comes as a tar on standard input: `plan`, `about.json`,
 * `index` (may be missing), `lock` (one line that says who) and `complete`. What has arrived for another plan goes. `abandoned` is the
 * line of a lock that may be broken at once.
 */
export function renderBegin(image: IncomingImage, abandoned: string | undefined): string {
  return `${renderHead(image)}${image.makeStore}
if is_there; then exit ${storedStatus}; fi
try_disk mkdir -p "$incoming"
# Members of a group see who is sending what.
if [ -g "$images" ]; then chmod g+rx "$incoming"; fi
cd "$incoming" || exit 1
begin=begin.$$
trap 'rm -rf "$begin"' EXIT
trap 'exit 1' HUP INT TERM
try_disk mkdir "$begin"
try_disk tar -xmf - -C "$begin"
[ -e "$begin/complete" ] || { echo 'the plan did not arrive completely' >&2; exit 1; }
chmod 640 "$begin"/*
# Where there is none, nothing is removed: somebody may just be taking it.
if [ -e lock ] && { [ -z "$(find lock -mmin -${lockMinutes} 2>/dev/null)" ] || [ "$(cat lock 2>/dev/null)" = ${quote(abandoned ?? '-')} ]; }; then
  rm -f lock
fi
ln "$begin/lock" lock 2>/dev/null || { cat lock; exit ${busyStatus}; }
if ! cmp -s "$begin/plan" plan; then
  rm -f data done.* image
  try_disk mv "$begin/plan" plan
fi
mv "$begin/about.json" about.json
if [ -e "$begin/index" ]; then mv "$begin/index" index; fi
`;
}

/** Writes blocks that come on standard input, each followed by its mark, to their places, and each one's number down when it is there. */
export function renderReceiver(image: IncomingImage, channel: number, blocks: number[], newBytes: number): string {
  const lengths = blocks.map((block) => `${block}:${blockLength(block, newBytes)}`);
  return `${renderHead(image)}cd "$incoming" || exit 1
# Without a process of its own where there is room.
note_done() { echo "$1" 2>/dev/null >>done.${channel} || try_disk sh -c 'echo "$1" >>"$2"' sh "$1" done.${channel}; }
for block in ${lengths.join(' ')}; do
  length=\${block#*:}
  block=\${block%:*}
  try_disk dd of=data bs=262144 iflag=fullblock,count_bytes count="$length" oflag=seek_bytes seek=$((block * ${blockBytes})) conv=notrunc
  # Without its mark, the block is cut short: the connection has ended.
  IFS= read -r mark && [ "$mark" = ${blockMark} ] || exit 1
  note_done "$block"
  touch -c lock 2>/dev/null
done
`;
}

/** For a dd without blocks: appends what comes, from `arrived` bytes on. */
export function renderAppender(image: IncomingImage, arrived: number, newBytes: number): string {
  const all = Array.from({ length: countBlocks(newBytes) }, (_, block) => block).join('\\n');
  return `${renderHead(image)}cd "$incoming" || exit 1
[ "$(stat -Lc %s data 2>/dev/null || echo 0)" -eq ${arrived} ] || { echo 'what had arrived is gone' >&2; exit 1; }
try_disk sh -c 'cat >>data'
[ "$(stat -Lc %s data)" -eq ${newBytes} ] || exit 1
try_disk sh -c 'printf "%b\\n" "$1" >done.0' sh ${quote(all)}
`;
}

/**
 * Puts the image together while its blocks arrive, hashes it, and gives it its name; says `stored`. An image that has another
 * hash is removed, and so is what it was copied from if that is damaged: `damaged SHA256`.
 */
export function renderAssembly(image: IncomingImage, plan: { isWhole: boolean; lock: string }): string {
  // A whole image needs no copy of itself: what arrives is the image.
  const [keep, made] = plan.isWhole ? ['', 'data'] : ['tee image 2>tee.error | ', 'image'];
  return `${renderHead(image)}cd "$incoming" || exit 1
exec 3>&1
own_lock=${quote(plan.lock)}
trap 'if [ "$(cat lock 2>/dev/null)" = "$own_lock" ]; then rm -f lock; fi' EXIT
trap 'exit 1' HUP INT TERM
polls=0
ready=0
# Until the block has arrived; $ready is then the first one behind it that has not.
wait_for() { # block
  while :; do
    ready=$(cat done.* 2>/dev/null | sort -n | awk -v ready="$ready" '$1 == ready { ready++ } END { print ready }')
    if [ "$ready" -gt "$1" ]; then return; fi
    # Writing fails when the connection has ended.
    printf . >&3 || exit 1
    sleep 0.2 2>/dev/null || sleep 1
    polls=$((polls + 1))
    if [ $((polls % 50)) -eq 0 ]; then touch -c lock || exit 1; fi
  done
}
emit() {
  at=0
  while read -r kind offset length source; do
    if [ "$kind" = copy ]; then copy_range "../$source.sif" "$offset" "$length" || exit 1; continue; fi
    end=$((at + length))
    while [ "$at" -lt "$end" ]; do
      block=$((at / ${blockBytes}))
      if [ "$block" -ge "$ready" ]; then wait_for "$block"; fi
      next=$((ready * ${blockBytes}))
      if [ "$next" -gt "$end" ]; then next=$end; fi
      copy_range data "$at" $((next - at)) || exit 1
      at=$next
    done
  done <plan
  : >emitted
}
# So that a clean-up leaves what is copied from alone.
for source in $(sed -n 's/^copy [0-9]* [0-9]* //p' plan | sort -u); do touch -c "../$source.sif" 2>/dev/null; done
rm -f emitted tee.error
sum=$(emit | ${keep}sha256_of)
if [ -s tee.error ]; then
  cat tee.error >&2
  rm -f image
  if grep -qi 'No space left\\|quota' tee.error; then exit ${diskFullStatus}; fi
  exit 1
fi
if [ ! -e emitted ]; then
  # Whoever broke the lock may have been quicker, and has tidied up.
  if is_there; then echo stored; exit 0; fi
  echo 'the image could not be put together' >&2
  exit 1
fi
if [ "$sum" != ${image.sha256} ]; then
  echo "its sha256 should be ${image.sha256} and is $sum" >&2
  sed -n 's/^copy .* //p' plan | sort -u | while read -r source; do
    [ "$(sha256_of <"../$source.sif")" = "$source" ] && continue
    echo "damaged $source"
    mv "../$source.sif" "../.damaged-$source.sif" 2>/dev/null && rm -f "../$source.chunks"
  done
  cd .. && rm -rf "$incoming"
  exit ${damagedStatus}
fi
# A file that is there is in use: it is never replaced by another copy of itself.
if ! is_there; then
  chmod "$mode" "${made}" about.json
  mv -f about.json "\${target%.*}.json"
  if [ -e index ]; then chmod "$mode" index && mv -f index "\${target%.*}.chunks"; fi
  mv "${made}" "$target" || exit 1
fi
cd .. && rm -rf "$incoming"
echo stored
`;
}
