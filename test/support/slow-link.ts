import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Lane } from './slow-lane.js';

export interface SlowLinkOptions {
  /** Where the far end of the link is. */
  host: string;
  port: number;
  /** One way: twice as much is the round trip. */
  delayMs?: number;
  /** Each direction's own; shared by all connections. No limit if left out. */
  bytesPerSecond?: number;
}

// Large enough that a socket is rarely asked to wait for its partner, small beside what a link holds.
const socketBufferBytes = 1 << 20;

/**
 * A long or narrow link to a TCP server, as a proxy on 127.0.0.1: what enters on one side leaves the other after the
 * delay, no faster than the rate. It can also be cut and go silent. Packets are neither lost nor reordered.
 */
export class SlowLink {
  private readonly up: Lane;
  private readonly down: Lane;
  private readonly sockets = new Set<Socket>();
  /** Connections that came while the link was silent. */
  private held: Socket[] = [];
  /** Sockets whose partner broke while the link was silent: they hear of it later. */
  private bereft: Socket[] = [];
  private isFrozen = false;

  private constructor(
    private readonly server: Server,
    private readonly options: SlowLinkOptions,
  ) {
    this.up = new Lane(options);
    this.down = new Lane(options);
    server.on('connection', (socket) => {
      this.keep(socket);
      if (this.isFrozen) this.held.push(socket);
      else this.join(socket);
    });
  }

  static async open(options: SlowLinkOptions): Promise<SlowLink> {
    const server = createServer({
      allowHalfOpen: true,
      pauseOnConnect: true,
      noDelay: true,
      highWaterMark: socketBufferBytes,
    });
    const link = new SlowLink(server, options);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return link;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** What has been handed over in each direction; `up` is towards the server. */
  get bytes(): { up: number; down: number } {
    return { up: this.up.deliveredBytes, down: this.down.deliveredBytes };
  }

  /** Ends all connections abruptly, with a reset on both sides; what was under way is lost. New ones are taken. */
  cut(): void {
    this.up.clear();
    this.down.clear();
    this.held = [];
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  /**
   * From now on nothing arrives and nothing ends, as when a cable is pulled; what was under way waits. A new connection
   * is opened by the kernel, but nobody answers.
   */
  freeze(): void {
    this.isFrozen = true;
    this.up.hold();
    this.down.hold();
  }

  thaw(): void {
    this.isFrozen = false;
    this.up.release();
    this.down.release();
    for (const socket of this.bereft.splice(0)) socket.resetAndDestroy();
    for (const socket of this.held.splice(0)) this.join(socket);
  }

  async close(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }

  private keep(socket: Socket): void {
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    // Without a partner yet, there is nobody to tell.
    socket.on('error', () => undefined);
  }

  private join(near: Socket): void {
    const { host, port } = this.options;
    const far = connect({ host, port, allowHalfOpen: true, noDelay: true, ...bothHighWaterMarks });
    this.keep(far);
    near.once('error', () => {
      this.breakOff(far);
    });
    far.once('error', () => {
      this.breakOff(near);
    });
    this.up.carry(near, far);
    this.down.carry(far, near);
  }

  private breakOff(socket: Socket): void {
    if (this.isFrozen) this.bereft.push(socket);
    else socket.resetAndDestroy();
  }
}

const bothHighWaterMarks = { readableHighWaterMark: socketBufferBytes, writableHighWaterMark: socketBufferBytes };
