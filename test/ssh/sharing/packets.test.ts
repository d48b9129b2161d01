import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  headerBytes,
  maximumPayloadBytes,
  PacketReader,
  ProtocolError,
  renderHeader,
  type PacketType,
} from '../../../src/ssh/sharing/packets.js';

const types: PacketType[] = ['open', 'data', 'end', 'credit', 'message', 'close'];
const packet = fc.record({
  type: fc.constantFrom(...types),
  channel: fc.integer({ min: 0, max: 0xffff_ffff }),
  payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
});

describe('packets', () => {
  it('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 12 }), fc.array(fc.nat({ max: 400 })), (packets, cuts) => {
        const stream = Buffer.concat(
          packets.flatMap(({ type, channel, payload }) => [renderHeader(type, channel, payload.length), payload]),
        );
        const reader = new PacketReader();
        const received = [];
        let at = 0;
        for (const cut of cuts) {
          received.push(...reader.push(stream.subarray(at, at + cut)));
          at = Math.min(stream.length, at + cut);
        }
        received.push(...reader.push(stream.subarray(at)));
        expect(received).toEqual(packets);
      }),
    );
  });

  it('come out of a stream of single bytes, the largest as well', () => {
    const payload = Buffer.alloc(maximumPayloadBytes, 7);
    const stream = Buffer.concat([renderHeader('data', 3, payload.length), payload]);
    const reader = new PacketReader();
    expect(reader.push(stream.subarray(0, headerBytes - 1))).toEqual([]);
    expect(reader.push(stream.subarray(headerBytes - 1, headerBytes))).toEqual([]);
    const [received] = reader.push(stream.subarray(headerBytes));
    expect(received?.payload.equals(payload)).toBe(true);
  });

  it('are refused when they are too large or of no known type, before anything is kept of them', () => {
    const large = renderHeader('data', 1, 10);
    large.writeUInt32BE(maximumPayloadBytes + 1, 0);
    expect(() => new PacketReader().push(large)).toThrow(ProtocolError);
    const strange = renderHeader('data', 1, 10);
    strange.writeUInt8(6, 4);
    expect(() => new PacketReader().push(strange)).toThrow(ProtocolError);
    expect(() => renderHeader('data', 1, maximumPayloadBytes + 1)).toThrow(RangeError);
  });

  it('survive any bytes: packets or an error, nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 })), (chunks) => {
        const reader = new PacketReader();
        try {
          for (const chunk of chunks) reader.push(Buffer.from(chunk));
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
    );
  });
});
