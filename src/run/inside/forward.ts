import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { RemoteLayout } from '../../cluster/layout.js';
import { HpcrunError, isSystemError } from '../../errors.js';
import { quote } from '../../ssh/quote.js';
import { runRemote, scriptPrelude } from '../../ssh/remote-script.js';
import { isEnded } from '../../slurm/states.js';
import type { RunRecord } from '../record.js';
import type { Session } from '../session.js';
import type { RunStatus } from '../status.js';
import { waitForRun } from '../wait.js';
import { awaitStart } from './await-start.js';
import { openCarrier, renderCarrier } from './carrier.js';
import { explainNotRunning, requireEnterable } from './exec.js';
import { notRunningStatus, stepFunctions } from './exec-script.js';
import { readService } from './service.js';
import { Tunnel, type Way } from './tunnel.js';

export interface ForwardRequest {
  /** Undefined for the port of the run's service. */
  port: number | undefined;
  /** Here; undefined for the same, or any where that one is taken and nobody has asked for it; 0 for any. */
  localPort: number | undefined;
}

/** A port of a job that can be reached here. */
export interface Forwarded {
  localPort: number;
  port: number;
  node: string;
  /** What the run's service wants to be told; undefined where it is none. */
  token: string | undefined;
}

interface Listeners {
  onChange: (run: RunStatus) => void;
  onListening: (forwarded: Forwarded) => void;
  onNote: (text: string) => void;
}

/**
 * Makes a port on the first node of a run's job reachable on this machine, and on it alone, from the job's start to its end. Throws
 * RUN_NOT_RUNNING if it has ended before, PORT_IN_USE, and what a connection throws.
 */
export async function forwardPort(
  session: Session,
  record: RunRecord,
  request: ForwardRequest,
  { onChange, onListening, onNote }: Listeners,
): Promise<RunStatus> {
  requireEnterable(record);
  const started = await awaitStart(session, record, onChange);
  if (isEnded(started.state)) await explainNotRunning(session, record);
  const service = request.port === undefined ? await readService(session, record) : undefined;
  const port = request.port ?? service?.port ?? 0;
  const node = await findNode(session, record);
  const over = new AbortController();
  const signal = AbortSignal.any([session.signal, over.signal]);
  const tunnel = new Tunnel(
    waysTo(session, record, { node, port }),
    (way) => {
      onNote(
        way === undefined
          ? `Nothing answers at port ${port} of ${node}, nor at its 127.0.0.1, yet; connections are tried again.`
          : `Connections go ${way.description}.`,
      );
    },
    signal,
  );
  const sockets = new Set<Socket>();
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => undefined);
  const serve = (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    tunnel.carry(socket).catch((error: unknown) => {
      if (!signal.aborted) fail(error);
    });
  };
  const servers = await listen(
    request.localPort ?? port,
    request.localPort === undefined && service !== undefined,
    serve,
  );
  try {
    const [server] = servers;
    onListening({ localPort: (server?.address() as AddressInfo).port, port, node, token: service?.token });
    return await Promise.race([waitForRun(session, record, onChange), failed]);
  } finally {
    over.abort();
    for (const server of servers) server.close();
    for (const socket of sockets) socket.destroy();
  }
}

/** The best first: through sshd itself, by a command on the login node where sshd may not, and from inside the job for what listens there only. */
function waysTo(session: Session, record: RunRecord, { node, port }: { node: string; port: number }): Way[] {
  const run = new RemoteLayout(record.root, record.store).run(record.runId);
  const inStep = `${scriptPrelude}${stepFunctions(run)}find_job\nin_step --unbuffered sh -c ${quote(renderCarrier('127.0.0.1', port))}\n`;
  return [
    {
      description: `from the login node to ${node}:${port}`,
      open: async (signal) => {
        const connection = await session.connect();
        if (!connection.forward) throw new HpcrunError('FORWARD_REFUSED', 'this transport cannot forward');
        return await connection.forward(node, port, signal);
      },
    },
    {
      description: `by a command on the login node to ${node}:${port}, since sshd does not forward them`,
      open: async (signal) => openCarrier(await session.connect(), renderCarrier(node, port), signal),
    },
    {
      description: `by job steps to 127.0.0.1:${port} on ${node}`,
      open: async (signal) => openCarrier(await session.connect(), inStep, signal),
    },
  ];
}

async function findNode(session: Session, record: RunRecord): Promise<string> {
  const run = new RemoteLayout(record.root, record.store).run(record.runId);
  const { stdout, exitCode } = await runRemote(
    await session.connect(),
    'looking for the job',
    `${stepFunctions(run)}find_job\nprintf '%s' "$node"\n`,
    { signal: session.signal, expected: [notRunningStatus] },
  );
  if (exitCode === 0) return stdout.toString('utf8');
  await explainNotRunning(session, record);
  throw new HpcrunError('RUN_NOT_RUNNING', `SLURM does not say where run ${record.runId} runs`, {
    hint: 'Try again in a moment.',
  });
}

/** Listens at this machine's own addresses only. */
async function listen(port: number, mayDiffer: boolean, serve: (socket: Socket) => void): Promise<Server[]> {
  const open = (host: string, wanted: number) =>
    new Promise<Server>((resolve, reject) => {
      const server = createServer({ allowHalfOpen: true }, serve);
      server.once('error', reject);
      server.listen({ host, port: wanted }, () => {
        resolve(server);
      });
    });
  let first: Server;
  try {
    first = await open('127.0.0.1', port);
  } catch (error) {
    if (isSystemError(error, 'EADDRINUSE') && mayDiffer) first = await open('127.0.0.1', 0);
    else if (isSystemError(error, 'EADDRINUSE') || isSystemError(error, 'EACCES')) {
      throw new HpcrunError('PORT_IN_USE', `port ${port} of this machine cannot be used: ${(error as Error).message}`, {
        hint: `Take another one: hpcrun forward RUN LOCAL:PORT, or 0:PORT for any that is free.`,
      });
    } else throw error;
  }
  try {
    return [first, await open('::1', (first.address() as AddressInfo).port)];
  } catch {
    // Without IPv6, or with something else there, one address has to do.
    return [first];
  }
}
