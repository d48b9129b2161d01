import type { Socket } from 'node:net';

/** Something on its way: bytes, or the end of a connection's stream (null). */
interface Packet {
  content: Buffer | null;
  target: Socket;
  dueMs: number;
}

interface Pair {
  source: Socket;
  target: Socket;
}

// What a router keeps before it makes the sender wait, as time at the link's rate.
const queueMs = 100;
// A link without a rate still holds no more than this, so that memory stays bounded.
const unlimitedCapacityBytes = 64 << 20;
// What travels behind a large packet should not have to wait for the whole of it.
const packetMs = 4;
const smallestPacketBytes = 1500;

/** One direction of a link: bytes of all connections leave in the order they came, after the delay, at the rate. */
export class Lane {
  /** Bytes that have left at the far end. */
  deliveredBytes = 0;
  private readonly delayMs: number;
  private readonly bytesPerMs: number;
  private readonly capacityBytes: number;
  private readonly packetBytes: number;
  private readonly pairs = new Set<Pair>();
  private packets: Packet[] = [];
  private pendingBytes = 0;
  /** When the last byte that was taken will have left the sender. */
  private sentAtMs = 0;
  private timer: NodeJS.Timeout | undefined;
  private isHeld = false;

  constructor({ delayMs = 0, bytesPerSecond = Infinity }: { delayMs?: number; bytesPerSecond?: number }) {
    this.delayMs = delayMs;
    this.bytesPerMs = bytesPerSecond / 1000;
    this.capacityBytes = Math.min(unlimitedCapacityBytes, Math.ceil(this.bytesPerMs * (delayMs + queueMs)));
    this.packetBytes = Math.max(smallestPacketBytes, Math.floor(this.bytesPerMs * packetMs));
  }

  /** Takes everything from `source` to `target` from now on, its end included. */
  carry(source: Socket, target: Socket): void {
    const pair = { source, target };
    this.pairs.add(pair);
    source.once('close', () => this.pairs.delete(pair));
    source.on('data', (content: Buffer) => {
      for (let start = 0; start < content.length; start += this.packetBytes)
        this.take(content.subarray(start, start + this.packetBytes), target);
      this.deliver();
      this.adjust(pair);
    });
    source.on('end', () => {
      this.take(null, target);
      this.deliver();
    });
    target.on('drain', () => {
      this.adjust(pair);
    });
    this.adjust(pair);
  }

  /** Drops what is under way. */
  clear(): void {
    this.packets = [];
    this.pendingBytes = 0;
    this.sentAtMs = 0;
  }

  /** Nothing is taken or delivered until `release`. */
  hold(): void {
    this.isHeld = true;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.adjustAll();
  }

  release(): void {
    this.isHeld = false;
    this.deliver();
    this.adjustAll();
  }

  private take(content: Buffer | null, target: Socket): void {
    const bytes = content?.length ?? 0;
    this.sentAtMs = Math.max(this.sentAtMs, performance.now()) + bytes / this.bytesPerMs;
    this.packets.push({ content, target, dueMs: this.sentAtMs + this.delayMs });
    this.pendingBytes += bytes;
  }

  private deliver(): void {
    if (this.isHeld) return;
    const wasFull = this.isFull();
    const now = performance.now();
    let count = 0;
    for (; count < this.packets.length; count += 1) {
      const packet = this.packets[count];
      if (!packet || packet.dueMs > now) break;
      this.hand(packet);
    }
    this.packets.splice(0, count);
    const next = this.packets[0];
    // One timer at a time, for the first packet; whatever else is due when it fires goes along.
    if (next && this.timer === undefined) {
      this.timer = setTimeout(() => {
        this.timer = undefined;
        this.deliver();
      }, next.dueMs - now);
    }
    if (wasFull && !this.isFull()) this.adjustAll();
  }

  private hand({ content, target }: Packet): void {
    if (content === null) target.end();
    else {
      this.pendingBytes -= content.length;
      this.deliveredBytes += content.length;
      if (!target.destroyed) target.write(content);
    }
  }

  private isFull(): boolean {
    return this.pendingBytes >= this.capacityBytes;
  }

  private adjustAll(): void {
    for (const pair of this.pairs) this.adjust(pair);
  }

  /** A source waits while the link is full or silent, or its own receiver is busy. */
  private adjust({ source, target }: Pair): void {
    if (this.isHeld || this.isFull() || target.writableNeedDrain) source.pause();
    else source.resume();
  }
}
