import { randomBytes } from 'node:crypto';
import { chmodSync, lstatSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { isMissing, messageOf } from '../../errors.js';
import { openConnection } from '../open-connection.js';
import { noPrompter } from '../prompter.js';
import { ConnectionHolder } from './connection-holder.js';
import { serveClient } from './connection-server.js';
import { openLog } from './holder-log.js';
import type { HolderSettings, SharedStatus } from './messages.js';
import { placeIn } from './socket-place.js';

const lookMs = 5000;
const firstLoginMs = 30_000;
/** For clients that are there and do nothing. */
const partingMs = 10_000;
/** A dead network is noticed after three times this. */
const keepalive = { intervalMs: 8000, lostAfter: 2 };

/**
 * Holds a connection for the commands of one user until it is told to end, nobody has used it for so long, or its time is up.
 * @param ready called when clients can come
 */
export async function holdConnection(
  settings: HolderSettings,
  env: NodeJS.ProcessEnv,
  ready: () => void,
): Promise<void> {
  const place = placeIn(settings.directory);
  const log = openLog(settings.logFile);
  const startedAt = Date.now();
  let loggedInAt: number | undefined;
  const endsAt = () => {
    loggedInAt ??= holder.connectedAt;
    return settings.lifetimeMs === null || loggedInAt === undefined ? null : loggedInAt + settings.lifetimeMs;
  };
  const token = randomBytes(32).toString('hex');
  const clients = new Set<Socket>();
  let users = 0;
  let usedAt = startedAt;
  let end: (why: string) => void = () => undefined;
  const ended = new Promise<string>((resolve) => {
    end = resolve;
  });
  const holder = new ConnectionHolder({
    open: (prompter, signal) =>
      openConnection(settings.target, {
        env,
        prompter: prompter ?? noPrompter,
        signal,
        keepalive,
        unattended: prompter === undefined,
      }),
    log,
    random: Math.random,
  });
  const describe = () => holder.description ?? settings.target.host;
  const status = (): SharedStatus => ({
    cluster: settings.cluster,
    state: holder.state,
    description: describe(),
    pid: process.pid,
    problem: holder.reason ?? null,
    connectedAt: holder.connectedAt ?? null,
    idleEndsAt: users > 0 ? null : usedAt + settings.idleMs,
    endsAt: endsAt(),
    users,
  });
  const use = () => {
    users += 1;
    return () => {
      users -= 1;
      usedAt = Date.now();
    };
  };
  const server = createServer((socket) => {
    clients.add(socket);
    socket.once('close', () => clients.delete(socket));
    void serveClient(socket, {
      holder,
      token,
      version: settings.version,
      describe,
      status,
      use,
      end: () => {
        // What was answered is still sent.
        setImmediate(() => {
          end('it was told to');
        });
      },
      log,
    });
  });

  process.umask(0o077);
  // Bound under another name: a socket under its own name can be used from the first moment.
  const fresh = join(place.directory, `new.${process.pid}`);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(fresh, resolve);
  });
  chmodSync(fresh, 0o600);
  writeFileSync(place.token, token, { mode: 0o600 });
  writeFileSync(
    place.info,
    JSON.stringify({ pid: process.pid, cluster: settings.cluster, version: settings.version }),
    {
      mode: 0o600,
    },
  );
  const { ino } = lstatSync(fresh);
  renameSync(fresh, place.socket);
  log(`hpcrun ${settings.version} holds a connection to ${settings.cluster}`);
  ready();

  const look = () => {
    const now = Date.now();
    const deadline = endsAt();
    if (!isSocket(place.socket, ino)) end('its socket was removed');
    else if (!holder.hasBegun) {
      if (now - startedAt > firstLoginMs) end('nobody logged in');
    } else if (holder.state === 'logging-in' || users > 0) {
      // Those who use it may finish.
    } else if (deadline !== null && now >= deadline && (clients.size === 0 || now >= deadline + partingMs)) {
      end('its time is up');
    } else if (clients.size === 0 && now - usedAt >= settings.idleMs) end('nobody used it');
  };
  const timer = setInterval(look, Math.min(lookMs, settings.idleMs / 4, (settings.lifetimeMs ?? Infinity) / 4));
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => {
      end(name);
    });
  }
  process.on('SIGHUP', () => undefined);

  const why = await ended;
  log(`ends: ${why}`);
  clearInterval(timer);
  if (isSocket(place.socket, ino))
    for (const path of [place.socket, place.token, place.info]) rmSync(path, { force: true });
  server.close();
  holder.close();
  for (const socket of clients) {
    socket.end();
    setTimeout(() => socket.destroy(), 500).unref();
  }
}

function isSocket(path: string, ino: number): boolean {
  try {
    return lstatSync(path).ino === ino;
  } catch (error) {
    if (isMissing(error)) return false;
    throw new Error(`cannot look at ${path}: ${messageOf(error)}`, { cause: error });
  }
}
