import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { HpcrunError } from '../errors.js';
import { quote } from '../ssh/quote.js';
import { remoteFailure, scriptPrelude } from '../ssh/remote-script.js';
import { printable } from '../ssh/terminal-text.js';
import { writeWhole } from './arrivals.js';
import { digestScript, FarDigestReader, type FarFact } from './far-digests.js';
import type { PullTask } from './pull-task.js';
import { isSameTime, type RemoteFile } from './remote-file.js';
import { TarReader, type TarEntry, type TarSink } from './tar-reader.js';

/**
 * Brings small files here in one tar stream, while another channel says what their sha256 and their state afterwards are.
 * A file gets its name when both have come and agree. Throws TRANSFER_FAILED and what a connection throws.
 */
export async function pullSmall(task: PullTask, files: readonly RemoteFile[]): Promise<void> {
  if (files.length === 0) return;
  const { connection, directory, signal, limit } = task;
  const incoming = new IncomingFiles(task, files);
  const tar = new TarReader(incoming);
  const digests = new FarDigestReader((fact) => {
    incoming.told(fact);
  });
  const stdin = Buffer.from(files.map(({ source }) => `${source}\0`).join(''), 'utf8');
  const stop = new AbortController();
  const options = { stdin, signal: AbortSignal.any([signal, stop.signal]) };
  // An error here ends the transfer at once, whatever the far side still has to send.
  let failure: unknown;
  const guarded = (work: () => void) => {
    try {
      work();
    } catch (error) {
      failure ??= error;
      stop.abort();
      throw error;
    }
  };
  const entering = `${scriptPrelude}cd ${quote(directory)} || exit 1\n`;
  const sending = connection.stream(`${entering}${tarScript}`, {
    ...options,
    onStdout: (chunk) => {
      guarded(() => {
        tar.push(chunk);
      });
      if (limit.isSet) return limit.take(chunk.length, options.signal);
    },
  });
  const telling = connection.stream(`${entering}${digestScript}`, {
    ...options,
    onStdout: (chunk) => {
      guarded(() => {
        digests.push(chunk);
      });
    },
  });
  try {
    const [sent] = await Promise.all([sending, telling]);
    if (!tar.isComplete) throw remoteFailure(connection, 'bringing back results', sent);
    incoming.settle();
  } catch (error) {
    stop.abort();
    await Promise.allSettled([sending, telling]);
    throw failure ?? error;
  } finally {
    incoming.removePartials();
  }
}

// Status 2 is what tar gives where a file has gone or cannot be read: the others arrive. Times travel with the listing.
const tarScript = `tar -cf - --format=gnu --blocking-factor=256 --hard-dereference --no-recursion --null -T -
[ "$?" -le 2 ]
`;

// How much more of a growing file than was listed is taken at once.
const growthBytes = 1 << 20;

interface Arrived {
  temporary: string;
  sha256: string;
  /** As it was sent; another than was listed, if it has changed. */
  sizeBytes: number;
}

/** Files between their arrival and the far side's word that they are what they should be. */
class IncomingFiles implements TarSink {
  private readonly expected: Map<string, RemoteFile>;
  private readonly arrived = new Map<string, Arrived>();
  private readonly digests = new Map<string, string>();
  private readonly states = new Map<string, { sizeBytes: number; mtime: number }>();
  private entry: { file: RemoteFile; isWanted: boolean; sizeBytes: number; pieces: Buffer[] } | undefined;

  constructor(
    private readonly task: PullTask,
    files: readonly RemoteFile[],
  ) {
    this.expected = new Map(files.map((file) => [file.source, file]));
  }

  begin({ name, type, sizeBytes }: TarEntry): void {
    const file = this.expected.get(name);
    if (!file || this.arrived.has(name)) {
      throw new HpcrunError('TRANSFER_FAILED', `the cluster sent "${printable(name)}", which was not asked for`, {
        hint: 'It was not written. Run the command again; if it happens twice, the cluster is not to be trusted.',
      });
    }
    const isFile = type === '0';
    if (!isFile) {
      this.expected.delete(name);
      this.task.arrivals.refuse(file.path, 'it is no plain file any more');
    }
    // One that is growing is taken as it is only if that is wanted.
    const isWanted =
      isFile && (sizeBytes === file.sizeBytes || (this.task.live && sizeBytes <= 2 * file.sizeBytes + growthBytes));
    this.entry = { file, isWanted, sizeBytes, pieces: [] };
  }

  data(piece: Buffer): void {
    if (this.entry?.isWanted) this.entry.pieces.push(piece);
  }

  end(): void {
    const { entry } = this;
    this.entry = undefined;
    if (!entry?.isWanted) return;
    const { file, pieces, sizeBytes } = entry;
    const hash = createHash('sha256');
    for (const piece of pieces) hash.update(piece);
    const temporary = this.task.arrivals.temporaryPath();
    this.arrived.set(file.source, { temporary, sizeBytes, sha256: hash.digest('hex') });
    writeWhole(temporary, file, pieces);
    this.task.onBytes(sizeBytes);
    this.placeIfKnown(file.source);
  }

  told(fact: FarFact): void {
    if (!this.expected.has(fact.source)) return;
    if (fact.type === 'digest') this.digests.set(fact.source, fact.sha256);
    else this.states.set(fact.source, fact);
    this.placeIfKnown(fact.source);
  }

  private placeIfKnown(source: string): void {
    const file = this.expected.get(source);
    const arrived = this.arrived.get(source);
    const sha256 = this.digests.get(source);
    const state = this.states.get(source);
    if (!file || !arrived || !sha256 || !state) return;
    const isUnchanged = state.sizeBytes === file.sizeBytes && isSameTime(state.mtime, file.mtime);
    const isSame = sha256 === arrived.sha256 && arrived.sizeBytes === file.sizeBytes;
    // Of a file that is being written to no two readers see the same.
    if ((isUnchanged && isSame) || (!isUnchanged && this.task.live)) {
      this.forget(source);
      this.task.arrivals.place(arrived.temporary, { ...file, sizeBytes: arrived.sizeBytes });
    } else if (isUnchanged) {
      this.drop(source, file, 'it arrived damaged: its sha256 differs from the one there');
    } else this.drop(source, file, undefined);
  }

  /** What has not come by now does not come any more. */
  settle(): void {
    for (const [source, file] of this.expected) {
      const state = this.states.get(source);
      const hasChanged = state && (state.sizeBytes !== file.sizeBytes || !isSameTime(state.mtime, file.mtime));
      this.drop(source, file, hasChanged ? undefined : 'it is gone or cannot be read there');
    }
  }

  /** @param why undefined if it has changed meanwhile */
  private drop(source: string, file: RemoteFile, why: string | undefined): void {
    const arrived = this.arrived.get(source);
    if (arrived) rmSync(arrived.temporary, { force: true });
    this.forget(source);
    if (why === undefined) this.task.changed(file);
    else this.task.arrivals.fail(file.path, why);
  }

  private forget(source: string): void {
    this.expected.delete(source);
    this.arrived.delete(source);
    this.digests.delete(source);
    this.states.delete(source);
  }

  removePartials(): void {
    for (const { temporary } of this.arrived.values()) rmSync(temporary, { force: true });
  }
}
