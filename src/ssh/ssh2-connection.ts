import type { Duplex } from 'node:stream';
import type { Client, ClientChannel, PseudoTtyOptions } from 'ssh2';
import { type HpcrunError, interrupted } from '../errors.js';
import {
  connectionLost,
  forwardRefused,
  SessionRefused,
  timedOut,
  type Channel,
  type ChannelEnd,
  type ChannelSource,
} from './channel.js';
import type { Connection, TerminalRequest } from './connection.js';
import { FramedConnection } from './framed-connection.js';
import { KeyRing } from './key-ring.js';
import { login, openSocket, type OpenOptions } from './login.js';
import { openProxyCommand } from './proxy-command.js';
import { resolveRoute, type HostOverrides, type HostSettings } from './ssh-config.js';

const channelTimeoutMs = 120_000;
const farewellMs = 2000;

/**
 * Logs in to a host with ssh2, through its jump hosts or its ProxyCommand if it has any. Host keys are always verified. Throws
 * CONNECTION_FAILED, LOGIN_FAILED, HOST_KEY_UNKNOWN, HOST_KEY_CHANGED, HOST_KEY_REVOKED, INPUT_NEEDED or INTERRUPTED.
 */
export async function openSsh2Connection(overrides: HostOverrides, options: OpenOptions): Promise<Connection> {
  const route = await resolveRoute(overrides, options.env);
  const clients: Client[] = [];
  const closeAll = () => {
    for (const client of [...clients].reverse()) {
      client.end();
      // A far side that has gone silent must not keep hpcrun from ending.
      setTimeout(() => client.destroy(), farewellMs).unref();
    }
  };
  try {
    // A key that several hosts of the way take is opened once.
    const keys = options.keys ?? new KeyRing();
    for (const hop of route) {
      const socket = await openStream(hop, clients.at(-1), options);
      clients.push(await login(hop, socket, { ...options, keys }));
    }
    const [client, settings] = [clients.at(-1), route.at(-1)];
    if (!client || !settings) throw new Error('a way without hosts');
    return new FramedConnection(
      new Ssh2Channels(client, `${settings.user}@${settings.host}:${settings.port}`, closeAll),
    );
  } catch (error) {
    closeAll();
    throw error;
  }
}

async function openStream(settings: HostSettings, through: Client | undefined, options: OpenOptions): Promise<Duplex> {
  const { proxyCommand } = settings;
  if (proxyCommand !== undefined && !through) return openProxyCommand(settings, proxyCommand, options);
  return await openSocket(settings, through, options.signal);
}

class Ssh2Channels implements ChannelSource {
  private lost: Error | undefined;
  readonly closed: Promise<void>;

  constructor(
    private readonly client: Client,
    readonly description: string,
    private readonly closeAll: () => void,
  ) {
    // One for each channel that is asked for.
    client.setMaxListeners(0);
    client.on('error', (error) => {
      this.lost = error;
    });
    this.closed = new Promise((resolve) => {
      client.once('close', () => {
        this.lost ??= new Error('the server closed it');
        resolve();
      });
    });
  }

  close(): void {
    this.closeAll();
  }

  async openChannel(command: string, signal: AbortSignal, terminal?: TerminalRequest): Promise<Channel> {
    let opened: Channel | undefined;
    await this.ask<ClientChannel>(
      signal,
      (answer) =>
        this.client.exec(command, terminal ? { pty: ptyOf(terminal) } : {}, (error, channel) => {
          // Before anybody else has a turn.
          if (!error) opened = this.watch(channel);
          answer(error, channel);
        }),
      (cause) => new SessionRefused(this.description, cause),
    );
    if (!opened) throw new Error('ssh2 granted a channel and gave none');
    return opened;
  }

  forward(host: string, port: number, signal: AbortSignal): Promise<Duplex> {
    return this.ask<ClientChannel>(
      signal,
      (answer) => this.client.forwardOut('127.0.0.1', 0, host, port, answer),
      (cause) => forwardRefused(this.description, `${host}:${port}`, cause),
    );
  }

  /**
   * Asks the server for a channel.
   * @param refused the error for a server that says no
   */
  private ask<T extends ClientChannel>(
    signal: AbortSignal,
    request: (answer: (error: Error | undefined, channel: T) => void) => unknown,
    refused: (cause: Error) => HpcrunError,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      let isOver = false;
      const settle = (act: () => void) => {
        isOver = true;
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        this.client.off('close', onClose);
        act();
      };
      const fail = (error: HpcrunError) => {
        settle(() => {
          reject(error);
        });
      };
      const onAbort = () => {
        fail(interrupted());
      };
      const onClose = () => {
        fail(connectionLost(this.description, this.lost ?? new Error('the server closed it')));
      };
      const timer = setTimeout(() => {
        fail(timedOut(this.description, channelTimeoutMs));
      }, channelTimeoutMs);
      signal.addEventListener('abort', onAbort, { once: true });
      this.client.once('close', onClose);
      try {
        if (this.lost) throw this.lost;
        request((error, channel) => {
          if (isOver) {
            // Nobody waits for it any more.
            if (!error) channel.close();
          } else if (error) fail(isRefusal(error) ? refused(error) : connectionLost(this.description, error));
          else {
            settle(() => {
              resolve(channel);
            });
          }
        });
      } catch (error) {
        fail(connectionLost(this.description, error));
      }
    });
  }

  /**
   * Listens for the end of a command from the very moment its channel is there: the answer to a short one may come in the
   * same packet, before anybody who waits for the channel has been told of it.
   */
  private watch(channel: ClientChannel): Channel {
    let exitCode: number | undefined;
    channel.on('exit', (code: number | null, signalName?: string) => {
      exitCode = code ?? (signalName === undefined ? undefined : 128);
    });
    const ended = new Promise<ChannelEnd>((resolve) => {
      channel.once('close', () => {
        resolve({ exitCode, cause: this.lost });
      });
    });
    // The far side may well close its input early; its exit status says what happened.
    channel.on('error', () => undefined);
    return {
      stdin: channel,
      stdout: channel,
      stderr: channel.stderr,
      ended,
      resize: ({ rows, columns }) => {
        if (!channel.destroyed) channel.setWindow(rows, columns, 0, 0);
      },
      close: () => {
        channel.close();
      },
    };
  }
}

function ptyOf({ type, size: { columns, rows } }: TerminalRequest): PseudoTtyOptions {
  return { term: type, cols: columns, rows, width: 0, height: 0 };
}

/** The server's answer, RFC 4254, section 5.1; OpenSSH says "connect failed" beyond MaxSessions. */
function isRefusal(error: Error): boolean {
  return 'reason' in error && error.message.includes('open failure');
}
