import { Readable } from 'node:stream';

const blockBytes = 1 << 16;

/** What a person may send to a command. */
export type SignalName = 'INT' | 'TERM' | 'QUIT' | 'HUP';

/**
 * A command's input and the signals for it in one stream, which never ends by itself: an end without a word means that this side has
 * gone. The format is that of `carriedInput`.
 */
export class ControlledInput extends Readable {
  /** @param source the command's input; undefined for none */
  constructor(private readonly source: Readable | undefined) {
    super();
    if (!source) {
      this.push('end\n');
      return;
    }
    source.on('data', (chunk: Buffer) => {
      let hasRoom = true;
      for (let at = 0; at < chunk.length; at += blockBytes) {
        const block = chunk.subarray(at, at + blockBytes);
        hasRoom = this.push(Buffer.concat([Buffer.from(`${block.length}\n`), block]));
      }
      if (!hasRoom) source.pause();
    });
    source.once('end', () => this.push('end\n'));
    source.once('error', (error) => this.destroy(error));
  }

  signal(name: SignalName): void {
    if (!this.destroyed) this.push(`${name}\n`);
  }

  override _read(): void {
    this.source?.resume();
  }
}
