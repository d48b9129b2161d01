import { execa } from 'execa';
import { rm, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { HpcrunError } from '../errors.js';
import type { EngineName } from '../image/engine.js';
import { renderRunArguments, runLabel, type LocalContainer } from './local-container.js';

/** Signals that end a job. */
export type EndingSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** What a container's process needs of the process hpcrun is. */
export interface ProcessInputs {
  env: NodeJS.ProcessEnv;
  stderr: NodeJS.WritableStream;
  /** Standard input is a terminal, whose Ctrl-C reaches the engine's client by itself. */
  isTerminal: boolean;
  /** Hands signals to `listener`, and to nobody else, until the returned function is called. */
  takeSignals: (listener: (signal: EndingSignal) => void) => () => void;
}

// SLURM's default for the time between the signal that asks a job to end and the one that ends it (slurm.conf, KillWait).
const killWaitMs = 30_000;

const engineErrorStatus = 125;
const questionTimeoutMs = 20_000;
const keptBytes = 8192;

/**
 * Runs a container to its end and returns its exit status. Signals are handed on to it; a second Ctrl-C, or 30 s, kill
 * it. It is gone when this returns. Throws ENGINE_FAILED where the engine could not start it, and only then; 126 and 127
 * are the job's.
 */
export async function runContainer(container: LocalContainer, inputs: ProcessInputs): Promise<number> {
  const { engine, variables } = container;
  const { file } = variables;
  const quietly = execa({ reject: false, stdin: 'ignore', env: inputs.env, extendEnv: false });
  // By its label: its name may be that of a container that was here before.
  const label = `label=${runLabel}=${container.runId}`;
  const control = async (...args: string[]) => {
    const { stdout } = await quietly(engine, ['ps', '--all', '--quiet', '--filter', label]);
    const ids = stdout.split('\n').filter((id) => id !== '');
    if (ids.length > 0) await quietly(engine, [...args, ...ids]);
  };
  // With the terminal as its input the client has to stay in the terminal's foreground. Elsewhere it is in a session of
  // its own, so that each signal reaches it once.
  const isAttached = container.interactive && inputs.isTerminal;
  if (file !== undefined) await writeFile(file.path, file.text, { mode: 0o600 });
  const child = execa(engine, renderRunArguments(container), {
    reject: false,
    buffer: false,
    detached: !isAttached,
    env: { ...inputs.env, ...variables.inherited },
    extendEnv: false,
    stdin: container.interactive ? 'inherit' : 'ignore',
    stdout: 'inherit',
    stderr: 'pipe',
    // How long a job has between SIGTERM and its end is decided here.
    forceKillAfterDelay: false,
  });
  let killer: NodeJS.Timeout | undefined;
  const release = inputs.takeSignals((signal) => {
    if (killer !== undefined && signal === 'SIGINT') {
      void control('kill');
      return;
    }
    killer ??= setTimeout(() => void control('kill'), killWaitMs);
    if (!isAttached) child.kill(signal);
    else if (signal !== 'SIGINT') void control('kill', '--signal', signal);
  });
  try {
    const said = await passOn(child.stderr, inputs.stderr, engine);
    const result = await child;
    const status = result.exitCode ?? 128 + constants.signals[result.signal ?? 'SIGTERM'];
    if (status === engineErrorStatus && said.isEngines && !(await hasEnded(engine, label, inputs.env))) {
      throw startFailed(container, said.text);
    }
    if (said.isHeld) inputs.stderr.write(said.text);
    return status;
  } finally {
    clearTimeout(killer);
    release();
    // The engine removes it, unless its client was ended before it had said so.
    await control('rm', '--force', '--volumes');
    if (file !== undefined) await rm(file.path, { force: true });
  }
}

/**
 * Whether a container that is gone has ever run: only then has the engine seen it end. A job may exit with the engine's
 * own status and words like the engine's. Where the engine keeps no events, it counts as having run.
 */
async function hasEnded(engine: EngineName, label: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  const ask = async (...args: string[]) =>
    await execa(engine, args, { reject: false, stdin: 'ignore', env, extendEnv: false, timeout: questionTimeoutMs });
  const events = (...args: string[]) => ask('events', '--format', '{{.ID}}', '--filter', label, ...args);
  // Docker lists what it remembers up to a time of its own clock; without one, it would wait for more.
  const listed =
    engine === 'docker'
      ? await ask('info', '--format', '{{.SystemTime}}').then(({ stdout }) =>
          events('--filter', 'event=die', '--since', '0', '--until', stdout.trim()),
        )
      : await events('--filter', 'event=died', '--stream=false');
  return listed.exitCode !== 0 || listed.stdout.trim() !== '';
}

/**
 * Passes standard error through as it comes, except for what the Docker client itself says when it ends: that is held
 * back, to be shown as the error it is.
 */
async function passOn(
  from: AsyncIterable<Buffer>,
  to: NodeJS.WritableStream,
  engine: EngineName,
): Promise<{ text: string; isHeld: boolean; isEngines: boolean }> {
  const isEngines = engine === 'docker' ? /^docker: /m : /^Error: /m;
  let held = '';
  let tail = '';
  for await (const chunk of from) {
    const text = chunk.toString('utf8');
    tail = (tail + text).slice(-keptBytes);
    if (held !== '' || text.startsWith('docker: ')) held += text;
    else if (!to.write(chunk)) await new Promise((resolve) => to.once('drain', resolve));
  }
  return { text: held === '' ? tail : held, isHeld: held !== '', isEngines: isEngines.test(tail) };
}

function startFailed({ engine, name }: LocalContainer, text: string): HpcrunError {
  const said = text.replace(/\n+(?:Run|See) '[^']*--help'.*$/s, '').trim();
  const isTaken = /name .* is already in use/i.test(said);
  return new HpcrunError('ENGINE_FAILED', `the container could not be started: ${said}`, {
    hint: isTaken
      ? `Choose another --name, or remove the old container: ${engine} rm -f ${name}`
      : 'hpcrun run --dry-run … shows the command that failed.',
  });
}
