import { join } from 'node:path';
import { resolveCluster } from '../config/cluster.js';
import { loadProject } from '../config/project.js';
import { parseTime } from '../config/quantities.js';
import { HpcrunError } from '../errors.js';
import { packageDirectory, packageVersion } from '../package-directory.js';
import { connectionTarget, sharedPlace } from '../run/shared-place.js';
import { isUsable, logInThrough, reachHolder, readSharedStatus, type HolderClient } from '../ssh/shared-connection.js';
import type { SocketPlace } from '../ssh/sharing/socket-place.js';
import { clearPlace, startHolder, withPlace } from '../ssh/sharing/start-holder.js';
import { makeContext, type CommonOptions, type Context } from './context.js';
import { printJson, printLine } from './output.js';
import { connectionObject, describeSharedStatus, findSharedStatus } from './shared-status.js';

const defaultIdle = '4h';

export interface ConnectOptions extends CommonOptions {
  idle?: string;
  for?: string;
  status?: boolean;
}

/** `hpcrun connect`. */
export async function connectCommand(options: ConnectOptions): Promise<number> {
  const idleMs = parseDuration('--idle', options.idle ?? defaultIdle);
  const lifetimeMs = options.for === undefined ? null : parseDuration('--for', options.for);
  const context = makeContext(options);
  const { cwd, env, directories, terminal, signal } = context;
  const cluster = await resolveCluster({ directories, env, project: await loadProject(cwd), flag: options.cluster });
  const place = sharedPlace(cluster, directories, env);
  if (!place) {
    throw new HpcrunError('SHARED_CONNECTION_FAILED', 'connections cannot be shared on this system', {
      hint: 'Use hpcrun under Linux, macOS or WSL.',
    });
  }
  if (options.status) return await showStatus(context, options, place, cluster.name);

  const { client, isNew } = await withPlace(place, signal, async () => {
    const existing = await findLiving(place);
    if (existing) return { client: existing, isNew: false };
    await clearPlace(place);
    await startHolder(join(packageDirectory(), 'dist', 'cli', 'connection-holder.js'), {
      directory: place.directory,
      cluster: cluster.name,
      target: connectionTarget(cluster),
      idleMs,
      lifetimeMs,
      logFile: join(directories.state, 'logs', `connection-${cluster.name}.log`),
      version: packageVersion(),
    });
    const started = await reachHolder(place);
    if (!started)
      throw new HpcrunError('SHARED_CONNECTION_FAILED', 'the shared connection ended at once', {
        hint: 'Run it again.',
      });
    return { client: started, isNew: true };
  });
  try {
    await logInThrough(client, terminal.prompter, signal);
    const status = await readSharedStatus(client);
    if (options.json) printJson(connectionObject(status));
    else {
      const what = isNew ? 'Connected to' : 'Already connected to';
      terminal.note(`${what} ${cluster.name} (${describeSharedStatus(status)}). All commands use this login.`);
      if (!isNew && (options.idle ?? options.for) !== undefined) {
        terminal.warn('--idle and --for are those it was started with; for others: hpcrun disconnect, then connect.');
      }
    }
  } finally {
    client.multiplexer.finish();
  }
  return 0;
}

/** A holder that is connected or about to be; one that cannot be used any more, or not by this version, counts as none. */
async function findLiving(place: SocketPlace): Promise<HolderClient | undefined> {
  let client: HolderClient | undefined;
  try {
    client = await reachHolder(place);
    if (!client) return undefined;
    if (isUsable(client.welcome, packageVersion()) && (await readSharedStatus(client)).state !== 'lost') return client;
  } catch (error) {
    if (!(error instanceof HpcrunError) || !['SHARED_CONNECTION_FAILED', 'CONNECTION_LOST'].includes(error.code))
      throw error;
  }
  client?.multiplexer.close();
  return undefined;
}

async function showStatus(
  context: Context,
  options: ConnectOptions,
  place: SocketPlace,
  cluster: string,
): Promise<number> {
  const status = await findSharedStatus(place);
  if (options.json) printJson(status ? connectionObject(status) : { type: 'connection', cluster, state: 'none' });
  else if (status) printLine(`${cluster}: ${describeSharedStatus(status)}`);
  else context.terminal.note(`No connection to ${cluster} is kept: hpcrun connect`);
  return status ? 0 : 8;
}

/** Milliseconds. Throws USAGE. */
function parseDuration(option: string, text: string): number {
  const seconds = parseTime(text);
  if (seconds !== undefined) return seconds * 1000;
  throw new HpcrunError('USAGE', `${option} "${text}" is not a time`, { hint: `${option} 4h, 1d or 30m` });
}
