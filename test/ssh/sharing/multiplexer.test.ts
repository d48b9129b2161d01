import { createHash, randomBytes } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Multiplexer, windowBytes, type Channel } from '../../../src/ssh/sharing/multiplexer.js';
import { renderHeader, type PacketType } from '../../../src/ssh/sharing/packets.js';
import { makeTemporaryDirectory } from '../../support/temporary-directory.js';

const sockets: Socket[] = [];

/** Two ends of a real socket. */
async function makePair(): Promise<[Socket, Socket]> {
  const path = join(await makeTemporaryDirectory(), 's');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const client = connect({ path });
  const pair: [Socket, Socket] = [client, await accepted];
  server.close();
  sockets.push(...pair);
  return pair;
}

/** A side that gives back what it gets, from all channels. */
async function makeEcho(): Promise<Multiplexer> {
  const [near, far] = await makePair();
  new Multiplexer(far, (channel) => {
    channel.listen({
      onData: (chunk) => channel.write(chunk),
      onEnd: () => {
        channel.end();
      },
      onMessage: (message) => {
        channel.message({ echo: message });
      },
      onClose: () => undefined,
    });
  });
  return new Multiplexer(near);
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

describe('channels over one stream', () => {
  it('carry more than a window each, several at once, in order', async () => {
    const multiplexer = await makeEcho();
    const echo = (bytes: Buffer) =>
      new Promise<Buffer>((resolve) => {
        const received: Buffer[] = [];
        const channel = multiplexer.open(
          { kind: 'echo' },
          {
            onData: (chunk) => {
              received.push(chunk);
            },
            onEnd: () => {
              channel.close();
              resolve(Buffer.concat(received));
            },
            onClose: () => undefined,
          },
        );
        void channel.write(bytes).then(() => {
          channel.end();
        });
      });
    const inputs = Array.from({ length: 5 }, (_, index) => randomBytes(index * windowBytes + 17));
    const outputs = await Promise.all(inputs.map(echo));
    expect(outputs.map(digest)).toEqual(inputs.map(digest));
    expect(multiplexer.size).toBe(0);
  });

  it('send no more than a window to a reader that reads nothing, and leave the others free', async () => {
    const [near, far] = await makePair();
    let stalled: Channel | undefined;
    let received = 0;
    let release: () => void = () => undefined;
    new Multiplexer(far, (channel) => {
      if (!stalled) {
        stalled = channel;
        channel.listen({
          onData: (chunk) => {
            received += chunk.length;
            return new Promise((resolve) => {
              release = resolve;
            });
          },
          onClose: () => undefined,
        });
      } else
        channel.listen({
          onMessage: (message) => {
            channel.message({ echo: message });
          },
          onClose: () => undefined,
        });
    });
    const multiplexer = new Multiplexer(near);
    const slow = multiplexer.open({ n: 1 }, { onClose: () => undefined });
    let isWritten = false;
    void slow.write(Buffer.alloc(windowBytes + 1)).then(() => {
      isWritten = true;
    });
    const answer = await new Promise((resolve) => {
      const other = multiplexer.open({ n: 2 }, { onMessage: resolve, onClose: () => undefined });
      other.message({ hello: 1 });
    });
    expect(answer).toEqual({ echo: { hello: 1 } });
    expect(received).toBeLessThan(windowBytes);
    expect(isWritten).toBe(false);
    // Reading it out lets the last byte through.
    while (received < windowBytes + 1) {
      release();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(received).toBe(windowBytes + 1);
  });

  it('tell of their end at once when the other side is gone', async () => {
    const multiplexer = await makeEcho();
    const closed = new Promise<void>((resolve) => {
      multiplexer.open({}, { onClose: resolve });
    });
    sockets.at(-1)?.destroy();
    await closed;
    await multiplexer.closed;
    await new Promise<void>((resolve) => {
      multiplexer.open({}, { onClose: resolve });
    });
  });
});

describe('a side that breaks the rules', () => {
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const credit = (bytes: number) => {
    const buffer = Buffer.alloc(4);
    buffer.writeUInt32BE(bytes);
    return buffer;
  };
  const open: [PacketType, number, Buffer] = ['open', 1, json({})];
  it.each<[string, [PacketType, number, Buffer][]]>([
    [
      'sends more than the window',
      [open, ...Array.from({ length: 17 }, (): [PacketType, number, Buffer] => ['data', 1, Buffer.alloc(1 << 16)])],
    ],
    ['allows more than was sent', [open, ['credit', 1, credit(1)]]],
    ['allows nothing', [open, ['credit', 1, Buffer.alloc(0)]]],
    ['sends empty data', [open, ['data', 1, Buffer.alloc(0)]]],
    ['opens a channel twice', [open, open]],
    ['sends what is not JSON', [['open', 1, Buffer.from('{')]]],
    [
      'opens too many channels',
      Array.from({ length: 300 }, (_, index): [PacketType, number, Buffer] => ['open', index, json({})]),
    ],
  ])('and %s loses the stream', async (_, packets) => {
    const [near, far] = await makePair();
    const multiplexer = new Multiplexer(far, (channel) => {
      // A reader that never gets on.
      channel.listen({ onData: () => new Promise(() => undefined), onClose: () => undefined });
    });
    for (const [type, channel, payload] of packets) {
      near.write(renderHeader(type, channel, payload.length));
      near.write(payload);
    }
    near.on('error', () => undefined);
    expect(await multiplexer.closed).toBeInstanceOf(Error);
  });

  it('may open channels only where that is expected', async () => {
    const [near, far] = await makePair();
    const multiplexer = new Multiplexer(far);
    new Multiplexer(near).open({}, { onClose: () => undefined });
    expect(await multiplexer.closed).toBeInstanceOf(Error);
  });
});
