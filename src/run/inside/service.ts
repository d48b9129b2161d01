import { setTimeout as sleep } from 'node:timers/promises';
import { RemoteLayout } from '../../cluster/layout.js';
import { HpcrunError } from '../../errors.js';
import { quote } from '../../ssh/quote.js';
import { runRemote } from '../../ssh/remote-script.js';
import type { RunRecord } from '../record.js';
import type { Session } from '../session.js';

/** Where a job made with the service template listens, as it has written down itself. */
export interface Service {
  port: number;
  token: string;
}

const attempts = 60;

/** Waits for what the job of a service writes when it starts. Throws USAGE if the run is none. */
export async function readService(session: Session, record: RunRecord): Promise<Service> {
  const { state, sentinel } = new RemoteLayout(record.root, record.store).run(record.runId);
  // The job writes how to enter it after that.
  const script = `if [ -r ${quote(`${state}/service`)} ]; then cat ${quote(`${state}/service`)}; exit 0; fi
[ ! -e ${quote(`${state}/enter.sh`)} ] && [ ! -e ${quote(sentinel)} ] || echo none
`;
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const { stdout } = await runRemote(await session.connect(), 'looking for the service', script, {
      signal: session.signal,
    });
    const [port = '', token = ''] = stdout.toString('utf8').split('\n');
    if (/^\d+$/.test(port) && /^[0-9a-f]+$/.test(token)) return { port: Number(port), token };
    if (port === 'none') break;
    await sleep(500, undefined, { signal: session.signal });
  }
  throw new HpcrunError('USAGE', `run ${record.runId} does not say at which port it listens`, {
    hint: `Say it: hpcrun forward ${record.runId} 8888. A job of "hpcrun submit --template service" says it itself.`,
  });
}

/** The address to open in a browser. */
export function serviceUrl(localPort: number, token: string | undefined): string {
  return `http://127.0.0.1:${localPort}/${token === undefined ? '' : `?token=${token}`}`;
}
