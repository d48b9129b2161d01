import type { Duplex } from 'node:stream';
import { headerBytes, PacketReader, ProtocolError, renderHeader, type Packet, type PacketType } from './packets.js';

/** How much of a channel's data may be on its way before its reader has taken any. */
export const windowBytes = 1 << 20;
const dataBytes = (1 << 16) - headerBytes;
const maximumChannels = 256;
/** JSON messages of a channel that its reader has not come to; nobody has a reason to send that many. */
const maximumWaiting = 1024;
const nothing = Buffer.alloc(0);

/** What comes in through a channel. Data, its end and messages are given one after the other, in the order they were sent. */
export interface ChannelReader {
  /** May not fail. While a promise is not settled, nothing else is given, and after a window of data the other side has to wait. */
  onData?(chunk: Buffer): void | Promise<void>;
  onEnd?(): void;
  onMessage?(message: unknown): void;
  /** At once, whatever has not been read: the other side has closed the channel, or is gone. Whoever opened a channel closes it. */
  onClose(): void;
}

/**
 * Many channels over one stream. Each has a window of its own in either direction, and channels that have something to send
 * take turns, packet by packet. A side that breaks the rules loses the stream.
 */
export class Multiplexer {
  /** Settles when the stream has ended, with the reason if there is one. */
  readonly closed: Promise<Error | undefined>;
  private readonly channels = new Map<number, Channel>();
  private nextChannel = 1;
  private readonly waiting: (() => void)[] = [];
  private isClosed = false;

  /** @param onOpen called for channels that the other side opens; without it, it may open none */
  constructor(
    private readonly stream: Duplex,
    private readonly onOpen?: (channel: Channel, message: unknown) => void,
  ) {
    const reader = new PacketReader();
    this.closed = new Promise((resolve) => {
      let reason: Error | undefined;
      stream.on('error', (error) => {
        reason = error;
      });
      stream.once('close', () => {
        this.isClosed = true;
        for (const channel of [...this.channels.values()]) channel.lose();
        this.takeTurns();
        resolve(reason);
      });
    });
    stream.on('data', (chunk: Buffer) => {
      try {
        for (const packet of reader.push(chunk)) this.receive(packet);
      } catch (error) {
        this.stream.destroy(
          error instanceof ProtocolError ? error : new Error('a packet was not understood', { cause: error }),
        );
      }
    });
    stream.once('end', () => this.stream.destroy());
    // Whoever read the first line has stopped it.
    stream.resume();
    stream.on('drain', () => {
      this.takeTurns();
    });
  }

  /** How many channels are open. */
  get size(): number {
    return this.channels.size;
  }

  /** @param message says what the channel is for */
  open(message: object, reader: ChannelReader): Channel {
    const channel = new Channel(this, this.nextChannel++);
    this.channels.set(channel.id, channel);
    channel.listen(reader);
    this.send('open', channel.id, renderJson(message));
    if (this.isClosed)
      setImmediate(() => {
        channel.lose();
      });
    return channel;
  }

  /** Ends the stream; channels that are open are closed. */
  close(): void {
    this.stream.destroy();
  }

  /** Sends what is left to send, and ends. */
  finish(): void {
    this.stream.end();
  }

  /** For channels only. */
  send(type: PacketType, channel: number, payload: Buffer): void {
    if (this.isClosed || !this.stream.writable) return;
    this.stream.cork();
    this.stream.write(renderHeader(type, channel, payload.length));
    if (payload.length > 0) this.stream.write(payload);
    this.stream.uncork();
  }

  /** For channels only: waits for one's turn to send. */
  async turn(): Promise<void> {
    if (this.isClosed) return;
    if (!this.stream.writableNeedDrain && this.waiting.length === 0) return;
    await new Promise<void>((resolve) => {
      this.waiting.push(resolve);
      if (!this.stream.writableNeedDrain)
        setImmediate(() => {
          this.takeTurns();
        });
    });
  }

  /** For channels only. */
  forget(id: number): void {
    this.channels.delete(id);
  }

  private takeTurns(): void {
    if (this.waiting.length === 0 || (!this.isClosed && this.stream.writableNeedDrain)) return;
    this.waiting.shift()?.();
    // Whoever had the turn sends in a microtask; then the next one looks whether there is room.
    setImmediate(() => {
      this.takeTurns();
    });
  }

  private receive({ type, channel: id, payload }: Packet): void {
    if (type === 'open') {
      if (!this.onOpen || this.channels.has(id)) throw new ProtocolError(`channel ${id} cannot be opened`);
      if (this.channels.size >= maximumChannels) throw new ProtocolError('too many channels were opened');
      const channel = new Channel(this, id);
      this.channels.set(id, channel);
      this.onOpen(channel, parseJson(payload));
      return;
    }
    // What was sent to a channel before its sender knew that it is closed is of no interest.
    this.channels.get(id)?.receive(type, payload);
  }
}

/** One conversation. Nothing is lost before `listen` is called. */
export class Channel {
  private reader: ChannelReader | undefined;
  private readonly queue: (
    { type: 'data'; payload: Buffer } | { type: 'end' } | { type: 'message'; message: unknown }
  )[] = [];
  private isReading = false;
  private isClosed = false;
  private mayReceive = windowBytes;
  private granted = 0;
  private maySend = windowBytes;
  private awaitCredit: (() => void) | undefined;

  /** Made by the multiplexer. */
  constructor(
    private readonly multiplexer: Multiplexer,
    readonly id: number,
  ) {}

  listen(reader: ChannelReader): void {
    this.reader = reader;
    if (this.isClosed) reader.onClose();
    else void this.read();
  }

  /**
   * Sends bytes when the other side has room for them; callers wait for one call before the next. What is sent to a channel that is closed is
   * dropped: `onClose` has told of it.
   */
  async write(bytes: Buffer): Promise<void> {
    for (let sent = 0; sent < bytes.length && !this.isClosed;) {
      if (this.maySend === 0) {
        await new Promise<void>((resolve) => {
          this.awaitCredit = resolve;
        });
        continue;
      }
      await this.multiplexer.turn();
      const part = bytes.subarray(sent, sent + Math.min(dataBytes, this.maySend));
      this.maySend -= part.length;
      sent += part.length;
      this.send('data', part);
    }
  }

  /** No more bytes will come. */
  end(): void {
    this.send('end', nothing);
  }

  message(message: object): void {
    this.send('message', renderJson(message));
  }

  close(): void {
    this.send('close', nothing);
    this.isClosed = true;
    this.multiplexer.forget(this.id);
    this.awaitCredit?.();
  }

  /** For the multiplexer only: the stream is gone, or the other side has closed the channel. */
  lose(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.multiplexer.forget(this.id);
    this.awaitCredit?.();
    this.reader?.onClose();
  }

  /** For the multiplexer only. Throws ProtocolError. */
  receive(type: Exclude<PacketType, 'open'>, payload: Buffer): void {
    switch (type) {
      case 'close':
        this.lose();
        return;
      case 'credit': {
        const more = payload.length === 4 ? payload.readUInt32BE(0) : 0;
        this.maySend += more;
        if (more === 0 || this.maySend > windowBytes) throw new ProtocolError('more was allowed than was sent');
        this.awaitCredit?.();
        return;
      }
      case 'data':
        this.mayReceive -= payload.length;
        if (this.mayReceive < 0 || payload.length === 0) throw new ProtocolError('more was sent than was allowed');
        this.queue.push({ type, payload });
        break;
      case 'end':
        this.queue.push({ type });
        break;
      case 'message':
        if (this.queue.length >= maximumWaiting) throw new ProtocolError('too many messages were sent');
        this.queue.push({ type, message: parseJson(payload) });
    }
    void this.read();
  }

  private async read(): Promise<void> {
    const { reader } = this;
    if (this.isReading || !reader) return;
    this.isReading = true;
    for (let item = this.queue.shift(); item && !this.isClosed; item = this.queue.shift()) {
      if (item.type === 'end') reader.onEnd?.();
      else if (item.type === 'message') reader.onMessage?.(item.message);
      else {
        const taken = reader.onData?.(item.payload);
        if (taken) await taken;
        this.grant(item.payload.length);
      }
    }
    this.isReading = false;
  }

  /** Lets the other side send as much again as has been read; not for every packet. */
  private grant(bytes: number): void {
    this.granted += bytes;
    if (this.granted < windowBytes / 4) return;
    const credit = Buffer.allocUnsafe(4);
    credit.writeUInt32BE(this.granted);
    this.mayReceive += this.granted;
    this.granted = 0;
    this.send('credit', credit);
  }

  private send(type: PacketType, payload: Buffer): void {
    if (!this.isClosed) this.multiplexer.send(type, this.id, payload);
  }
}

function renderJson(message: object): Buffer {
  return Buffer.from(JSON.stringify(message), 'utf8');
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new ProtocolError('a message was not JSON');
  }
}
