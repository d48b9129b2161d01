import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { HpcrunError } from '../../errors.js';

// Requests are smaller; whoever sends more before the first answer is not sent anew.
const keptBytes = 1 << 20;

/** One way to a port of a job's node. */
export interface Way {
  /** As part of a sentence. */
  description: string;
  /** Throws FORWARD_REFUSED; so may the stream, until it gives its first byte. */
  open: (signal: AbortSignal) => Promise<Duplex>;
}

/**
 * Connects local sockets with a port on the far side, by the first way that reaches it. One that has been the first twice on end is tried
 * before the others from then on: once may be because a service has just come up.
 */
export class Tunnel {
  /** @param onWay told of the way when it is another one than before; of undefined when none reaches the port */
  constructor(
    private readonly ways: Way[],
    private readonly onWay: (way: Way | undefined) => void,
    private readonly signal: AbortSignal,
  ) {}

  private used: Way | undefined;
  private preferred: Way | undefined;
  private hasFailed = false;

  /** Settles when the socket is done with. Fails only with what ends all of it: a connection that is lost. */
  async carry(socket: Socket): Promise<void> {
    const outgoing = new Outgoing(socket);
    for (const way of [...this.ways].sort(
      (one, other) => Number(other === this.preferred) - Number(one === this.preferred),
    )) {
      if (isGone(socket)) return;
      try {
        const stream = await way.open(this.signal);
        if (isGone(socket)) {
          stream.destroy();
          return;
        }
        if (
          await outgoing.join(stream, () => {
            this.use(way);
          })
        )
          return;
      } catch (error) {
        if (!isRefusal(error)) {
          socket.destroy();
          throw error;
        }
      }
    }
    if (!this.hasFailed) this.onWay(undefined);
    this.hasFailed = true;
    socket.destroy();
  }

  private use(way: Way): void {
    if (this.used === way) this.preferred = way;
    else this.onWay(way);
    this.used = way;
    this.hasFailed = false;
  }
}

/** What a local socket sends, kept until the first answer: another way may have to send it again. */
class Outgoing {
  private kept: Buffer[] | undefined = [];
  private size = 0;
  private isEnded = false;
  private target: Duplex | undefined;

  constructor(private readonly socket: Socket) {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      const { target } = this;
      this.kept?.push(chunk);
      this.size += chunk.length;
      if (!target) {
        // The rest can wait until there is somebody to send it to.
        if (this.size > keptBytes) socket.pause();
        return;
      }
      if (this.size > keptBytes) this.kept = undefined;
      if (target.write(chunk)) return;
      socket.pause();
      target.once('drain', () => {
        if (this.target === target) socket.resume();
      });
    });
    socket.once('end', () => {
      this.isEnded = true;
      this.target?.end();
    });
  }

  /** Settles with true when both have ended, with false if the stream was refused before it gave anything and all can be sent again. */
  join(stream: Duplex, onAnswer: () => void): Promise<boolean> {
    const { socket } = this;
    return new Promise((resolve) => {
      let hasAnswered = false;
      this.target = stream;
      for (const chunk of this.kept ?? []) stream.write(chunk);
      // It may have been stopped for want of a target, or for one that was refused.
      socket.resume();
      if (this.isEnded) stream.end();
      stream.on('data', (chunk: Buffer) => {
        if (!hasAnswered) onAnswer();
        hasAnswered = true;
        this.kept = undefined;
        if (socket.write(chunk)) return;
        stream.pause();
        socket.once('drain', () => stream.resume());
      });
      stream.once('end', () => socket.end());
      stream.once('error', (error) => {
        this.target = undefined;
        if (!hasAnswered && this.kept && isRefusal(error)) {
          resolve(false);
          return;
        }
        socket.destroy();
        resolve(true);
      });
      stream.once('close', () => {
        // An error has been told of before.
        setImmediate(() => {
          if (this.target === stream) socket.destroySoon();
        });
      });
      socket.once('close', () => {
        stream.destroy();
        resolve(true);
      });
    });
  }
}

/** Asked anew each time: it goes when its client goes. */
function isGone(socket: Socket): boolean {
  return socket.destroyed;
}

function isRefusal(error: unknown): boolean {
  return error instanceof HpcrunError && error.code === 'FORWARD_REFUSED';
}
