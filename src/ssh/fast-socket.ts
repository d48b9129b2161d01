import { connect, type Socket, type TcpSocketConnectOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Client } from 'ssh2';

// Several packets of 32 KiB: few of them are cut in two.
const readBytes = 512 << 10;

// Those of ssh2 that keep nothing of what they are given. Its ChaCha20 does, until a packet's last bytes have come, and so does its native
// addon, where that has been built.
const copyingDeciphers = ['AESGCMDecipherNative', 'GenericDecipherNative'];

const sharing = new WeakMap<Duplex, () => void>();

/** A socket for ssh2 that joins small writes, and whose reads may share their memory (`shareReads`). */
export function connectFast(to: TcpSocketConnectOpts): Socket {
  const buffer = Buffer.allocUnsafeSlow(readBytes);
  let isShared = false;
  const socket: Socket = connect({
    ...to,
    noDelay: true,
    onread: {
      buffer,
      callback: (length) => {
        const chunk = buffer.subarray(0, length);
        const isWaitedFor = socket.readableFlowing === true && socket.readableLength === 0;
        if (!isShared || !isWaitedFor) return socket.push(Buffer.from(chunk));
        socket.emit('data', chunk);
        return true;
      },
    },
  });
  sharing.set(socket, () => {
    isShared = true;
  });
  joinWrites(socket);
  return socket;
}

/**
 * Lets all reads of the socket use the same memory from now on, if its reader, which is logged in, keeps nothing of it. New memory for
 * each 64 KiB keeps the garbage collector busy for a third of the time of a transfer.
 */
export function shareReads(stream: Duplex, reader: Client): void {
  const { _protocol } = reader as unknown as { _protocol?: { _decipher?: object } };
  const decipher = _protocol?._decipher?.constructor.name;
  if (decipher !== undefined && copyingDeciphers.includes(decipher)) sharing.get(stream)?.();
}

/**
 * Makes one system call of all that is written to a socket in one turn of the event loop. ssh2 writes each packet of 32 KiB for
 * itself, which costs a third of what a fast link carries.
 */
function joinWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  let isHeld = false;
  socket.write = (...args: unknown[]) => {
    if (!isHeld) {
      isHeld = true;
      socket.cork();
      setImmediate(() => {
        isHeld = false;
        socket.uncork();
      });
    }
    return write(...args);
  };
}
