import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import ssh2, { type ClientChannel } from 'ssh2';
import { describe, expect, it, onTestFinished } from 'vitest';
import { connectFast, shareReads } from '../../src/ssh/fast-socket.js';
import { makeKey } from '../support/ssh-server.js';

/** A server whose commands give back what they are sent. */
async function startEcho(): Promise<number> {
  const hostKey = await readFile(await makeKey());
  const server = new ssh2.Server({ hostKeys: [hostKey] }, (client) => {
    client.on('error', () => undefined);
    client.on('authentication', (context) => {
      context.accept();
    });
    client.on('session', (accept) => {
      accept().on('exec', (acceptCommand) => {
        const channel = acceptCommand();
        channel.pipe(channel);
        channel.once('end', () => {
          channel.exit(0);
          channel.end();
        });
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

async function openClient(port: number, cipher: ssh2.CipherAlgorithm) {
  const sock = connectFast({ host: '127.0.0.1', port });
  const client = new ssh2.Client();
  onTestFinished(() => void client.end());
  client.connect({ sock, username: 'anybody', algorithms: { cipher: [cipher] } });
  await once(client, 'ready');
  return { client, sock };
}

function echo(client: ssh2.Client, input: Buffer): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    client.exec('echo', (error: Error | undefined, channel: ClientChannel) => {
      if (error) {
        reject(error);
        return;
      }
      const chunks: Buffer[] = [];
      // All of them are kept, so that memory that is used again would show.
      channel.on('data', (chunk: Buffer) => chunks.push(chunk));
      channel.once('close', () => {
        resolve(chunks);
      });
      channel.end(input);
    });
  });
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('connectFast', () => {
  it.each(['aes128-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes128-ctr'] as const)(
    'carries bytes unchanged with %s, on several channels at once, whether reads share their memory or not',
    async (cipher) => {
      const { client, sock } = await openClient(await startEcho(), cipher);
      const inputs = [randomBytes(3_000_001), randomBytes(2_000_003)];
      const compare = async () => {
        const outputs = await Promise.all(inputs.map((input) => echo(client, input)));
        expect(outputs.map((chunks) => sha256(Buffer.concat(chunks)))).toEqual(inputs.map(sha256));
      };
      await compare();
      shareReads(sock, client);
      await compare();
    },
  );

  it('keeps what comes before anybody listens', async () => {
    const server = createServer((socket) => socket.end('SSH-2.0-early\r\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const socket = connectFast({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
    await once(socket, 'readable');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(socket, 'close');
    expect(Buffer.concat(chunks).toString()).toBe('SSH-2.0-early\r\n');
  });
});
