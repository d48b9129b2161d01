import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HpcrunError } from '../../../src/errors.js';
import { Tunnel, type Way } from '../../../src/run/inside/tunnel.js';

const signal = new AbortController().signal;

let servers: Server[];
beforeEach(() => {
  servers = [];
});
afterEach(() => {
  for (const server of servers) server.close();
});

/** A server on this machine; its port. */
async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, onConnection);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Answers, when its client has sent everything, with how much that was. */
async function countingServer(): Promise<number> {
  return await listen((socket) => {
    let bytes = 0;
    socket.on('data', (chunk) => (bytes += chunk.length));
    socket.on('end', () => socket.end(String(bytes)));
  });
}

function wayTo(port: number, before: Promise<unknown> = Promise.resolve()): Way {
  return {
    description: 'straight on',
    open: async () => {
      await before;
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      await once(socket, 'connect');
      return socket;
    },
  };
}

/** Takes little, and is refused a while later. */
const refusedLater: Way = {
  description: 'in vain',
  open: () => {
    const stream = new Duplex({ highWaterMark: 1000, read: () => undefined, write: () => undefined });
    setTimeout(() => stream.destroy(new HpcrunError('FORWARD_REFUSED', 'no')), 100);
    return Promise.resolve(stream);
  },
};

/** What a client that sends so many bytes through these ways is answered. */
async function send(bytes: number, ways: Way[]): Promise<string> {
  const tunnel = new Tunnel(ways, () => undefined, signal);
  const carrying: Promise<void>[] = [];
  const port = await listen((socket) => carrying.push(tunnel.carry(socket)));
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  client.end(Buffer.alloc(bytes, 'x'));
  let answer = '';
  for await (const chunk of client) answer += String(chunk);
  await Promise.all(carrying);
  return answer;
}

describe('Tunnel', () => {
  it.each([0, 10, 5_000_000])('carries %i bytes that are sent before its way is open', async (bytes) => {
    const opening = new Promise((resolve) => setTimeout(resolve, 200));
    expect(await send(bytes, [wayTo(await countingServer(), opening)])).toBe(String(bytes));
  });

  it.each([10, 500_000])('sends %i bytes anew, by another way, when one is refused', async (bytes) => {
    expect(await send(bytes, [refusedLater, wayTo(await countingServer())])).toBe(String(bytes));
  });

  it('leaves no stream of a client that went while its way was opened', async () => {
    const ended: boolean[] = [];
    const far = await listen((socket) => {
      socket.resume().once('close', () => ended.push(true));
      socket.once('end', () => socket.end());
    });
    let open: (value: unknown) => void = () => undefined;
    const opening = new Promise((resolve) => (open = resolve));
    const tunnel = new Tunnel([wayTo(far, opening)], () => undefined, signal);
    const arrived: Socket[] = [];
    const port = await listen((socket) => {
      arrived.push(socket);
      void tunnel.carry(socket);
    });
    const client = connect(port, '127.0.0.1');
    await once(client, 'connect');
    while (arrived.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    client.resetAndDestroy();
    while (!arrived.every((socket) => socket.destroyed)) await new Promise((resolve) => setTimeout(resolve, 10));
    open(undefined);
    while (ended.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(ended).toEqual([true]);
  });
});
