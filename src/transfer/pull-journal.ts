import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isMissing } from '../errors.js';
import { mayBeAlive, thisPuller, type Puller } from './partial-name.js';

/** How far one section of a large file has come: its first `bytes` bytes, which have this sha256. */
export interface Checkpoint {
  section: number;
  bytes: number;
  sha256: string;
}

/**
 * What has arrived of a large file, in a file of lines beside the partial one. The first says which process writes it. It is
 * written after the bytes it tells of and never synchronized: who goes on from it looks whether the bytes are there.
 */
export class PullJournal {
  constructor(private readonly path: string) {}

  /** The last checkpoint of each section. */
  read(): Map<number, Checkpoint> {
    const [, ...lines] = this.lines();
    return new Map(lines.flatMap(parseCheckpoint).map((checkpoint) => [checkpoint.section, checkpoint]));
  }

  /** Whether another process is at work on this file. */
  isTaken(): boolean {
    const [first = ''] = this.lines();
    const owner = parseOwner(first);
    return owner !== undefined && !isThisProcess(owner) && mayBeAlive(owner);
  }

  /** Makes the journal this process's own, with the checkpoints that still hold. */
  begin(checkpoints: Iterable<Checkpoint>): void {
    const { host, pid } = thisPuller();
    const lines = [`${host} ${pid}`, ...[...checkpoints].map(renderCheckpoint)];
    const temporary = this.path.replace(/\.part$/, `.${pid}.part`);
    writeFileSync(temporary, `${lines.join('\n')}\n`, { mode: 0o600 });
    renameSync(temporary, this.path);
  }

  append(checkpoint: Checkpoint): void {
    appendFileSync(this.path, `${renderCheckpoint(checkpoint)}\n`);
  }

  private lines(): string[] {
    try {
      // What stands behind the last newline has broken off.
      return readFileSync(this.path, 'utf8').split('\n').slice(0, -1);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }
}

function isThisProcess({ host, pid }: Puller): boolean {
  return pid === process.pid && host === thisPuller().host;
}

function parseOwner(line: string): Puller | undefined {
  const match = /^([0-9a-f]{8}) (\d+)$/.exec(line);
  return match?.[1] === undefined ? undefined : { host: match[1], pid: Number(match[2]) };
}

function renderCheckpoint({ section, bytes, sha256 }: Checkpoint): string {
  return `${section} ${bytes} ${sha256}`;
}

function parseCheckpoint(line: string): Checkpoint[] {
  const match = /^(\d+) (\d+) ([0-9a-f]{64})$/.exec(line);
  return match?.[3] === undefined ? [] : [{ section: Number(match[1]), bytes: Number(match[2]), sha256: match[3] }];
}
