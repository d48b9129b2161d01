import { messageOf } from '../errors.js';
import { quote } from '../ssh/quote.js';
import { remoteFailure, scriptPrelude } from '../ssh/remote-script.js';
import { PartialFile, type SectionReceiver } from './partial-file.js';
import type { PullTask } from './pull-task.js';
import { isSameTime, type RemoteFile } from './remote-file.js';

const mebibyte = 1 << 20;
// Each has a window of 2 MiB: together they fill a link of 50 ms and 160 MB/s. Each may lose a checkpoint's bytes at a break.
const channels = 4;

/** What the far side says of one section. */
interface FarSection {
  sha256: string;
  sizeBytes: number;
  mtime: number;
}

/**
 * Brings large files here in sections over several channels, each written to its place in a partial file, while one more
 * channel says what their sha256 are. What has arrived survives a break of any kind: a later pull goes on from there, and
 * at most 64 MB come again. Throws TRANSFER_FAILED and what a connection throws.
 */
export async function pullLarge(task: PullTask, files: readonly RemoteFile[]): Promise<void> {
  const partials: PartialFile[] = [];
  for (const file of files) {
    const partial = new PartialFile(file, task.arrivals.target.root);
    if (partial.isTaken()) task.arrivals.fail(file.path, 'another hpcrun is bringing it here');
    else partials.push(partial);
  }
  if (partials.length === 0) return;
  const stop = new AbortController();
  const stoppable = { ...task, signal: AbortSignal.any([task.signal, stop.signal]) };
  const digests = new FarSections(partials);
  const queue = new SectionQueue(partials, digests, stoppable);
  const failures: unknown[] = [];
  // The first failure ends all channels at once, whatever the far side still has to send.
  const fail = (error: unknown) => {
    failures.push(error);
    stop.abort();
  };
  const guarded = async (work: Promise<void>) => {
    try {
      await work;
    } catch (error) {
      fail(error);
    }
  };
  const telling = guarded(
    digests.ask(stoppable, () => {
      queue.settle();
    }),
  );
  const bringing = Array.from({ length: channels }, () => guarded(bringSections(queue, stoppable, fail)));
  try {
    await Promise.all([telling, ...bringing]);
    const [first] = failures;
    if (first !== undefined) throw first instanceof Error ? first : new Error(messageOf(first));
    queue.finish();
  } finally {
    for (const partial of partials) partial.close();
  }
}

/** One channel's work: section after section, until none is left. `fail` is told at once of what the disk here refuses. */
async function bringSections(queue: SectionQueue, task: PullTask, fail: (error: unknown) => void): Promise<void> {
  for (let next = await queue.next(); next; next = await queue.next()) {
    const { opened, receiver } = next;
    if (!receiver.isComplete && !(await bringSection(opened.partial.file, receiver, task, fail)))
      opened.hasChanged = true;
    opened.sections += 1;
    queue.settle();
  }
}

/** Returns whether the file was still as it was listed when the section had been read there. */
async function bringSection(
  file: RemoteFile,
  receiver: SectionReceiver,
  task: PullTask,
  fail: (error: unknown) => void,
): Promise<boolean> {
  const { connection, directory, signal, limit } = task;
  const { section } = receiver;
  // A section begins at a whole MiB, and so does what a checkpoint leaves of it.
  const skip = (section.from + receiver.receivedBytes) / mebibyte;
  const count = Math.ceil((section.length - receiver.receivedBytes) / mebibyte);
  const source = quote(`${directory}/${file.source}`);
  const script = `${scriptPrelude}[ -r ${source} ] || exit 0
dd if=${source} bs=${mebibyte} skip=${skip} count=${count} 2>/dev/null || exit 1
find ${source} -maxdepth 0 -printf 'state %s %T@\\n' >&2
exit 0
`;
  const result = await connection.stream(script, {
    signal,
    onStdout: (chunk) => {
      const before = receiver.receivedBytes;
      try {
        receiver.push(chunk);
      } catch (error) {
        fail(error);
        throw error;
      }
      task.onBytes(receiver.receivedBytes - before);
      if (limit.isSet) return limit.take(chunk.length, signal);
    },
  });
  if (result.exitCode !== 0) throw remoteFailure(connection, 'bringing back results', result);
  const state = /^state (\d+) (-?[\d.]+)$/m.exec(result.stderr);
  return state !== null && Number(state[1]) === file.sizeBytes && isSameTime(Number(state[2]), file.mtime);
}

/** The sha256 of all sections as the far side reads them, in the order of the sections. */
class FarSections {
  private readonly known = new Map<string, FarSection | undefined>();
  private readonly wanted: { key: string; question: string }[] = [];
  isComplete = false;

  constructor(partials: readonly PartialFile[]) {
    for (const { file, sections } of partials) {
      for (const { index, from, length } of sections) {
        const numbers = `${from / mebibyte} ${Math.ceil(length / mebibyte)} ${length}`;
        this.wanted.push({
          key: `${index} ${file.source}`,
          question: `section ${quote(file.source)} ${numbers}\n`,
        });
      }
    }
  }

  of(file: RemoteFile, section: number): FarSection | undefined {
    return this.known.get(`${section} ${file.source}`);
  }

  async ask({ connection, directory, signal }: PullTask, onAnswer: () => void): Promise<void> {
    const questions = this.wanted.map(({ question }) => question).join('');
    let rest = '';
    let answered = 0;
    const result = await connection.stream(`${scriptPrelude}exec /bin/sh -s`, {
      stdin: Buffer.from(`${scriptPrelude}cd ${quote(directory)} || exit 1\n${sectionFunction}${questions}`, 'utf8'),
      signal,
      onStdout: (chunk) => {
        const lines = (rest + chunk.toString('latin1')).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          const key = this.wanted[answered]?.key;
          answered += 1;
          if (key !== undefined) this.known.set(key, parseSectionDigest(line));
        }
        onAnswer();
      },
    });
    if (result.exitCode !== 0) throw remoteFailure(connection, 'bringing back results', result);
    this.isComplete = true;
    onAnswer();
  }
}

// One line for each section, whatever happens: they are told apart by their order. A connection that has ended ends it.
const sectionFunction = `section_bytes() { dd if="$1" bs=${mebibyte} skip="$2" count="$3" 2>/dev/null; }
section() { # file, MiB to skip, MiB to read, bytes of them to look at
  # What a file has grown by is not looked at.
  if [ "$4" -lt $(($3 * ${mebibyte})) ]; then section_sum=$(section_bytes "$@" | head -c "$4" | sha256_of)
  else section_sum=$(section_bytes "$@" | sha256_of); fi
  printf '%s %s\\n' "$section_sum" "$(find "$1" -maxdepth 0 -printf '%s %T@' 2>/dev/null)" || exit 1
}
`;

function parseSectionDigest(line: string): FarSection | undefined {
  const match = /^([0-9a-f]{64}) (\d+) (-?[\d.]+)$/.exec(line);
  return match?.[1] === undefined
    ? undefined
    : { sha256: match[1], sizeBytes: Number(match[2]), mtime: Number(match[3]) };
}

interface OpenFile {
  partial: PartialFile;
  receivers: SectionReceiver[];
  /** How many of its sections have been dealt with. */
  sections: number;
  /** Whether it was seen in another state than it was listed in. */
  hasChanged: boolean;
}

interface ReadySection {
  opened: OpenFile;
  receiver: SectionReceiver;
}

/** Hands out sections in order, and gives files their names as soon as all of theirs are here and right. */
class SectionQueue {
  private readonly waiting: PartialFile[];
  private readonly open = new Set<OpenFile>();
  private readonly ready: ReadySection[] = [];

  constructor(
    partials: readonly PartialFile[],
    private readonly digests: FarSections,
    private readonly task: PullTask,
  ) {
    this.waiting = [...partials];
  }

  async next(): Promise<ReadySection | undefined> {
    while (this.ready.length === 0) {
      const partial = this.waiting.shift();
      if (!partial) return undefined;
      const receivers = await partial.open(this.task.signal);
      this.task.onBytes(receivers.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0));
      const opened: OpenFile = { partial, receivers, sections: 0, hasChanged: false };
      this.open.add(opened);
      this.ready.push(...receivers.map((receiver) => ({ opened, receiver })));
    }
    return this.ready.shift();
  }

  /** Looks which files are done. */
  settle(): void {
    for (const each of this.open) {
      const { partial, receivers, hasChanged } = each;
      const { file } = partial;
      // A file that has become shorter never gets complete; what became of it shows at the end.
      if (each.sections < receivers.length || !receivers.every(({ isComplete }) => isComplete)) continue;
      const told = receivers.map(({ section }) => this.digests.of(file, section.index));
      if (!this.digests.isComplete && told.includes(undefined)) continue;
      this.open.delete(each);
      const isListed = (far: FarSection | undefined) =>
        far?.sizeBytes === file.sizeBytes && isSameTime(far.mtime, file.mtime);
      const isUnchanged = !hasChanged && told.every(isListed);
      const isRight = told.every((far, index) => far?.sha256 === receivers[index]?.digest());
      // A file that is only ever appended to is whole as far as it was listed.
      if (isRight && (isUnchanged || this.task.live)) {
        partial.finish();
        this.task.arrivals.place(partial.path, file);
        continue;
      }
      partial.discard();
      if (told.includes(undefined)) this.task.arrivals.fail(file.path, 'it is gone or cannot be read there');
      else if (!isUnchanged) this.task.changed(file);
      else this.task.arrivals.fail(file.path, 'it arrived damaged: its sha256 differs from the one there');
    }
  }

  /** What is not complete by now has become shorter, or has gone. */
  finish(): void {
    this.settle();
    for (const { partial } of this.open) {
      partial.discard();
      const isThere = partial.sections.every(({ index }) => this.digests.of(partial.file, index) !== undefined);
      if (isThere) this.task.changed(partial.file);
      else this.task.arrivals.fail(partial.file.path, 'it is gone or cannot be read there');
    }
  }
}
