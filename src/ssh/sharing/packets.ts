/**
 * What travels over the socket of a shared connection: a length, a type, the number of a channel, and that many bytes.
 * Everything is big-endian: u32 length of the payload, u8 type, u32 channel, payload.
 */
export type Packet = { [Type in PacketType]: { type: Type; channel: number; payload: Buffer } }[PacketType];

/**
 * `open` begins a channel and `close` ends it, whoever sends it; `data` and `end` are its bytes; `credit` allows the other side
 * that many more of them (u32); `message` is JSON.
 */
export type PacketType = (typeof packetTypes)[number];
const packetTypes = ['open', 'data', 'end', 'credit', 'message', 'close'] as const;

export const headerBytes = 9;
/** A remote script is at most 90 kB, six times that in JSON. */
export const maximumPayloadBytes = 1 << 20;

/** What the other side sent is no packet: an hpcrun of another kind, or no hpcrun. */
export class ProtocolError extends Error {}

/** The header of a packet; its payload follows as it is, so that it need not be copied. */
export function renderHeader(type: PacketType, channel: number, payloadBytes: number): Buffer {
  if (payloadBytes > maximumPayloadBytes) throw new RangeError(`a packet of ${payloadBytes} bytes is too large`);
  const header = Buffer.allocUnsafe(headerBytes);
  header.writeUInt32BE(payloadBytes, 0);
  header.writeUInt8(packetTypes.indexOf(type), 4);
  header.writeUInt32BE(channel, 5);
  return header;
}

/** Takes packets out of a stream, however it is cut into chunks. */
export class PacketReader {
  private chunks: Buffer[] = [];
  private size = 0;
  /** How many bytes have to be there before it is worth looking again. */
  private needed = headerBytes;

  /** The packets that this chunk completes. Throws ProtocolError; nothing may be pushed after that. */
  push(chunk: Buffer): Packet[] {
    this.chunks.push(chunk);
    this.size += chunk.length;
    const packets: Packet[] = [];
    if (this.size < this.needed) return packets;
    let bytes = this.chunks.length === 1 ? chunk : Buffer.concat(this.chunks, this.size);
    for (;;) {
      this.needed = headerBytes;
      if (bytes.length < this.needed) break;
      const length = bytes.readUInt32BE(0);
      if (length > maximumPayloadBytes) throw new ProtocolError(`a packet of ${length} bytes was announced`);
      const type = packetTypes[bytes.readUInt8(4)];
      if (type === undefined) throw new ProtocolError(`there is no packet of type ${bytes.readUInt8(4)}`);
      this.needed += length;
      if (bytes.length < this.needed) break;
      packets.push({ type, channel: bytes.readUInt32BE(5), payload: bytes.subarray(headerBytes, this.needed) });
      bytes = bytes.subarray(this.needed);
    }
    this.chunks = bytes.length === 0 ? [] : [bytes];
    this.size = bytes.length;
    return packets;
  }
}
