import { HpcrunError } from '../errors.js';
import { formatDuration } from '../progress.js';
import { reachHolder, readSharedStatus } from '../ssh/shared-connection.js';
import type { SharedStatus } from '../ssh/sharing/messages.js';
import type { SocketPlace } from '../ssh/sharing/socket-place.js';

/** The state of the shared connection in a place; undefined if there is none. */
export async function findSharedStatus(place: SocketPlace): Promise<SharedStatus | undefined> {
  const client = await reachHolder(place);
  if (!client) return undefined;
  try {
    if (client.welcome.accepted) return await readSharedStatus(client);
    throw new HpcrunError(
      'SHARED_CONNECTION_OUTDATED',
      `the shared connection was made by hpcrun ${client.welcome.version}`,
      {
        hint: 'Make a new one: hpcrun connect',
      },
    );
  } finally {
    client.multiplexer.finish();
  }
}

/** A shared connection as `--json` shows it; times in ISO 8601, null where there is none. */
export function connectionObject(status: SharedStatus): { type: string } & Record<string, unknown> {
  const time = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());
  return {
    type: 'connection',
    cluster: status.cluster,
    state: status.state,
    login: status.description,
    problem: status.problem,
    connectedAt: time(status.connectedAt),
    idleEndsAt: time(status.idleEndsAt),
    endsAt: time(status.endsAt),
    users: status.users,
    pid: status.pid,
  };
}

/** What a person wants to know of a shared connection, in a phrase. */
export function describeSharedStatus(status: SharedStatus, now = Date.now()): string {
  const left = (ms: number) => formatDuration(Math.max(0, ms - now) / 1000);
  const words = {
    'logging-in': 'somebody is logging in',
    connected: `connected as ${status.description}`,
    reconnecting: 'the connection is lost and is being made anew',
    lost: 'the connection is lost: hpcrun connect',
  };
  return [
    words[status.state],
    ...(status.idleEndsAt === null ? [] : [`ends when unused for ${left(status.idleEndsAt)}`]),
    ...(status.endsAt === null ? [] : [`ends in ${left(status.endsAt)}`]),
    ...(status.users === 0 ? [] : [`in use by ${status.users}`]),
  ].join(', ');
}
