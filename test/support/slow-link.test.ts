import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { SlowLink, type SlowLinkOptions } from './slow-link.js';

interface Ends {
  link: SlowLink;
  /** Opens one more connection and returns both of its ends. */
  open: () => Promise<{ near: Socket; far: Socket }>;
}

/** A link to a server of this process; both are gone when the test has ended. */
async function makeLink(options: Omit<SlowLinkOptions, 'host' | 'port'> = {}): Promise<Ends> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const link = await SlowLink.open({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, ...options });
  onTestFinished(async () => {
    await link.close();
    server.close();
  });
  const open = async () => {
    const near = connect({ host: '127.0.0.1', port: link.port, allowHalfOpen: true });
    const [far] = (await once(server, 'connection')) as [Socket];
    for (const socket of [near, far]) socket.on('error', () => undefined);
    return { near, far };
  };
  return { link, open };
}

/** Everything a socket receives until the other side has nothing more to say. */
async function receive(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function expectExchange(near: Socket, up: Buffer[], far: Socket, down: Buffer[]): Promise<void> {
  for (const chunk of up) near.write(chunk);
  for (const chunk of down) far.write(chunk);
  near.end();
  far.end();
  const [atFar, atNear] = await Promise.all([receive(far), receive(near)]);
  expect(atFar.equals(Buffer.concat(up))).toBe(true);
  expect(atNear.equals(Buffer.concat(down))).toBe(true);
}

async function failureOf(socket: Socket): Promise<unknown> {
  const [error] = (await once(socket, 'error').catch((thrown: unknown) => [thrown])) as [unknown];
  return error;
}

const ways: [string, Omit<SlowLinkOptions, 'host' | 'port'>][] = [
  ['plain', {}],
  ['long', { delayMs: 5 }],
  ['narrow', { bytesPerSecond: 40e6 }],
  ['long and narrow', { delayMs: 5, bytesPerSecond: 40e6 }],
];

describe.each(ways)('a %s link', (_, options) => {
  it('carries all bytes of all connections in order, both ways, and counts them', async () => {
    const { link, open } = await makeLink(options);
    const sent = { up: 0, down: 0 };
    const chunks = fc.array(fc.nat(300_000), { maxLength: 5 }).map((sizes) => sizes.map((size) => randomBytes(size)));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(chunks, chunks), { minLength: 1, maxLength: 3 }), async (connections) => {
        const transfers: Promise<void>[] = [];
        for (const [up, down] of connections) {
          const { near, far } = await open();
          transfers.push(expectExchange(near, up, far, down));
          for (const { length } of up) sent.up += length;
          for (const { length } of down) sent.down += length;
        }
        await Promise.all(transfers);
        expect(link.bytes).toEqual(sent);
      }),
      { numRuns: 10 },
    );
  });

  it('passes on the end of one direction and keeps the other open', async () => {
    const { near, far } = await (await makeLink(options)).open();
    near.end('question');
    expect(String(await receive(far))).toBe('question');
    far.end('answer');
    expect(String(await receive(near))).toBe('answer');
  });
});

describe('a long link', () => {
  it('brings an answer later than a short one that was asked after it', async () => {
    const [long, short] = await Promise.all([makeLink({ delayMs: 150 }), makeLink()]);
    const order: string[] = [];
    const ask = async ({ near, far }: { near: Socket; far: Socket }, name: string) => {
      far.pipe(far);
      near.write(name);
      await once(near, 'data');
      order.push(name);
    };
    const [slow, fast] = [await long.open(), await short.open()];
    await Promise.all([ask(slow, 'long'), ask(fast, 'short')]);
    expect(order).toEqual(['short', 'long']);
  });
});

describe('a narrow link', () => {
  it('makes the sender wait instead of taking in what it cannot pass on', async () => {
    const { link, open } = await makeLink({ bytesPerSecond: 100e3 });
    const { near, far } = await open();
    far.resume();
    let takenBytes = 0;
    const chunk = Buffer.alloc(1 << 20);
    // The kernel's own buffers take several megabytes on each side; a link without backpressure would take them all.
    for (; takenBytes < 200e6 && near.writableLength < 2 * chunk.length; takenBytes += chunk.length) {
      near.write(chunk);
      await sleep(2);
    }
    expect(takenBytes).toBeLessThan(100e6);
    expect(link.bytes.up).toBeLessThan(takenBytes);
  });

  it('does not let a receiver that has stopped reading hold up the others', async () => {
    const { open } = await makeLink({ delayMs: 1 });
    const [stuck, free] = [await open(), await open()];
    for (let count = 0; count < 64; count += 1) stuck.near.write(Buffer.alloc(1 << 20));
    await sleep(50);
    free.near.end('through');
    expect(String(await receive(free.far))).toBe('through');
  });
});

describe('a link that is cut', () => {
  it('resets both sides of every connection and takes new ones', async () => {
    const { link, open } = await makeLink({ delayMs: 50 });
    const [one, two] = [await open(), await open()];
    for (const socket of [one.far, two.far]) socket.resume();
    one.near.write('lost on its way');
    const failures = Promise.all([one.near, one.far, two.near, two.far].map(failureOf));
    link.cut();
    for (const failure of await failures) expect(failure).toMatchObject({ code: 'ECONNRESET' });
    expect(link.bytes.up).toBe(0);
    const { near, far } = await open();
    near.end('again');
    expect(String(await receive(far))).toBe('again');
  });
});

describe('a frozen link', () => {
  it('delivers nothing and ends nothing until it is thawed, and then everything', async () => {
    const { link, open } = await makeLink();
    const { near, far } = await open();
    const received = receive(far);
    near.write('before ');
    await expect.poll(() => link.bytes.up).toBe(7);
    link.freeze();
    near.end('after');
    await sleep(100);
    expect(link.bytes.up).toBe(7);
    expect([near.destroyed, far.destroyed, far.readableEnded]).toEqual([false, false, false]);
    link.thaw();
    expect(String(await received)).toBe('before after');
  });

  it('lets a new connection wait', async () => {
    const { link, open } = await makeLink();
    link.freeze();
    const opened = open();
    await expect(Promise.race([opened, sleep(100)])).resolves.toBeUndefined();
    link.thaw();
    const { near, far } = await opened;
    near.end('late');
    expect(String(await receive(far))).toBe('late');
  });

  it('tells the far side only after the thaw that the near one has broken', async () => {
    const { link, open } = await makeLink();
    const { near, far } = await open();
    far.resume();
    const failure = failureOf(far);
    link.freeze();
    near.resetAndDestroy();
    await expect(Promise.race([failure, sleep(100)])).resolves.toBeUndefined();
    link.thaw();
    expect(await failure).toMatchObject({ code: 'ECONNRESET' });
  });
});
