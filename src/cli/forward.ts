import { HpcrunError } from '../errors.js';
import { findRun } from '../run/find-run.js';
import { forwardPort, type ForwardRequest } from '../run/inside/forward.js';
import { serviceUrl } from '../run/inside/service.js';
import type { RunRecord } from '../run/record.js';
import type { Session } from '../run/session.js';
import { makeContext, withSession, type CommonOptions, type Context } from './context.js';
import { describeRun, printJson, printLine, runObject } from './output.js';

/** `hpcrun forward`. */
export async function forwardCommand(
  wanted: string,
  ports: string | undefined,
  options: CommonOptions,
): Promise<number> {
  const request = parsePorts(ports);
  const context = makeContext(options);
  return await withSession(context, options, async (session, project) => {
    const record = await findRun(session, wanted, project?.directory);
    return await forwardUntilEnd(session, context, record, request, options);
  });
}

/** Forwards until the run has ended, or Ctrl-C, which is the usual end of it. */
export async function forwardUntilEnd(
  session: Session,
  context: Context,
  record: RunRecord,
  request: ForwardRequest,
  { json }: CommonOptions,
): Promise<number> {
  const { terminal, signal } = context;
  const progress = { isListening: false };
  try {
    const run = await forwardPort(session, record, request, {
      onChange: ({ state, reason }) => {
        if (state === 'PENDING') terminal.note(`Waiting in the queue${reason === undefined ? '' : ` (${reason})`}.`);
      },
      onListening: ({ localPort, port, node, token }) => {
        progress.isListening = true;
        const url = serviceUrl(localPort, token);
        if (json) printJson({ type: 'forward', runId: record.runId, url, localPort, node, port });
        else {
          printLine(url);
          terminal.note(
            `Leads to port ${port} of ${node}, where run ${record.runId} is. Ctrl-C ends this, not the job.`,
          );
        }
      },
      onNote: (text) => {
        terminal.note(text);
      },
    });
    if (json) printJson(runObject(run));
    terminal.note(describeRun(run));
    return 0;
  } catch (error) {
    if (signal.aborted && progress.isListening) return 0;
    throw error;
  }
}

/** `PORT`, `LOCAL:PORT`, or nothing for the port of a service. Throws USAGE. */
export function parsePorts(text: string | undefined): ForwardRequest {
  if (text === undefined) return { port: undefined, localPort: undefined };
  const [remote = '', local] = text.split(':').reverse();
  const port = parsePort(remote);
  const localPort = local === undefined ? undefined : parsePort(local);
  const isPair = /^(?:\d+:)?\d+$/.test(text);
  if (isPair && port > 0 && port <= 65_535 && (localPort ?? 0) <= 65_535) return { port, localPort };
  throw new HpcrunError('USAGE', `"${text}" is no port`, {
    hint: '8888, or 9000:8888 for port 9000 on this machine, or 0:8888 for any that is free',
  });
}

function parsePort(text: string): number {
  return /^\d{1,5}$/.test(text) ? Number(text) : NaN;
}
