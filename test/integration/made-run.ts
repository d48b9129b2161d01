import { execa } from 'execa';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, mkdir, mkdtemp, readdir, readlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { inject } from 'vitest';
import { renderRecord } from '../../src/run/record.js';
import { makeRunId } from '../../src/run/run-id.js';
import { runRecord } from '../support/run-record.js';
import { onLogin } from './lab.js';

const root = '/home/researcher/made';

/** A run whose files a test makes by hand in the login container, and which this machine knows. */
export interface MadeRun {
  runId: string;
  /** Its directory there. */
  directory: string;
}

/** `script` runs in the new run's directory after its baseline; `work` and `state` are there. */
export async function makeRun(script: string, changes: { resultsExclude?: string[] } = {}): Promise<MadeRun> {
  const runId = makeRunId(new Date());
  const directory = `${root}/runs/${runId}`;
  const { XDG_STATE_HOME = '', HPCRUN_SANDBOX_NAME = '' } = inject('labEnvironment');
  const records = join(XDG_STATE_HOME, 'hpcrun', 'sandboxes', HPCRUN_SANDBOX_NAME, 'runs');
  await mkdir(records, { recursive: true });
  const record = {
    ...runRecord({ runId }),
    cluster: 'sandbox',
    mount: '/workspace',
    root,
    resultsExclude: [],
    ...changes,
  };
  await writeFile(join(records, `${runId}.json`), renderRecord(record));
  await onLogin(`mkdir -p ${directory}/work ${directory}/state && cd ${directory} && touch state/baseline && sleep 0.02
${script}`);
  return { runId, directory };
}

export async function emptyDirectory(): Promise<string> {
  return await mkdtemp(join(tmpdir(), 'hpcrun-pulled-'));
}

/** `sha256  path` of every file below, `path -> target` of every link; sorted. */
export async function digestTree(directory: string): Promise<string[]> {
  const lines: string[] = [];
  for (const name of await readdir(directory, { recursive: true })) {
    const path = join(directory, name);
    const stats = await lstat(path);
    if (stats.isSymbolicLink()) lines.push(`${name} -> ${await readlink(path)}`);
    else if (stats.isFile()) lines.push(`${await digestFile(path)}  ${name}`);
  }
  return lines.sort();
}

async function digestFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** The same of a run's work directory there, of plain files with plain names. */
export async function digestFarTree(directory: string): Promise<string[]> {
  const listed = await onLogin(`cd ${directory}/work && find . -type f -printf '%P\\0' | xargs -0 sha256sum`);
  return listed
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}

/** Ends the sessions of sshd, as an administrator or the kernel would. */
export async function killSessions(): Promise<void> {
  await execa(
    'docker',
    [
      'exec',
      '--user',
      'root',
      `${inject('labEnvironment').HPCRUN_SANDBOX_NAME ?? ''}-login`,
      'pkill',
      '-KILL',
      '-f',
      '^sshd.*: researcher',
    ],
    { reject: false },
  );
}
