import { userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { requireProject } from '../config/project.js';
import { HpcrunError } from '../errors.js';
import { resolveEngine } from '../image/resolve-engine.js';
import type { ContainerEngine } from '../image/engine.js';
import type { ContainerRequest } from '../run/describe-container.js';
import type { EndingSignal } from '../run/local-process.js';
import { describeLocalRun, dryRunLocally, runLocally, type LocalInputs } from '../run/local-run.js';
import { planRun } from '../run/plan.js';
import { shortPath } from '../run/pull-results.js';
import { loadImageSettings, makeContext, type Context } from './context.js';
import { printJson, printLine } from './output.js';
import { parseRunRequest, warnOfLateOptions, type RunOptions } from './run-options.js';

export interface LocalRunOptions extends RunOptions {
  dryRun?: boolean;
  interactive?: boolean;
  tty?: boolean;
  offline?: boolean;
  publish?: string[];
  workdir?: string;
  entrypoint?: string;
}

/** `hpcrun run`: exits with the job's own status. */
export async function runCommand(words: string[], isCommand: boolean, options: LocalRunOptions): Promise<number> {
  const context = makeContext(options);
  warnOfLateOptions(context, words, isCommand);
  const request = parseContainerRequest(options);
  const project = await requireProject(context.cwd);
  const binds = { volume: (options.volume ?? []).map(fromHere(context)), mount: options.mount ?? [] };
  const plan = await planRun(
    project,
    parseRunRequest(words, isCommand, { ...options, ...binds }, context.cwd),
    context.cwd,
    context.env,
  );
  const settings = await loadImageSettings(context, options, project);
  let engine: Promise<ContainerEngine> | undefined;
  const inputs = makeInputs(context, () => (engine ??= resolveEngine(settings.engine, context.signal)));
  if (options.dryRun === true) {
    const { runId, argv, command } = await dryRunLocally(inputs, plan, request, settings.engine ?? 'docker');
    if (options.json) printJson({ type: 'plan', runId, command: argv });
    else printLine(command);
    return 0;
  }
  const run = await runLocally(inputs, plan, request);
  const { runId, name, exitStatus, results } = run;
  if (options.json) printJson({ type: 'ran', runId, name, exitStatus, results: results ?? null });
  context.terminal.note(describeLocalRun(run, (path) => shortPath(path, context.cwd)));
  return exitStatus;
}

function parseContainerRequest(options: LocalRunOptions): ContainerRequest {
  const { interactive = false, tty = false, offline = false, publish: ports = [], workdir } = options;
  if (workdir !== undefined && !workdir.startsWith('/')) {
    throw new HpcrunError('USAGE', `--workdir "${workdir}" must be an absolute path in the container`, {
      hint: '--workdir /workspace',
    });
  }
  if (interactive && tty && !process.stdin.isTTY) {
    throw new HpcrunError('USAGE', '-t needs a terminal, which standard input is not', {
      hint: 'Leave -t out; -i alone passes standard input on.',
    });
  }
  const { name, entrypoint } = options;
  return { interactive, tty, offline, ports, name, workingDirectory: workdir, entrypoint };
}

/** Relative sources, as Docker takes them. */
function fromHere({ cwd }: Context): (volume: string) => string {
  return (volume) => (/^\.{1,2}(?=[/:])/.test(volume) && !isAbsolute(volume) ? join(cwd, volume) : volume);
}

function makeInputs({ env, signal, terminal, directories }: Context, engine: LocalInputs['engine']): LocalInputs {
  return {
    engine,
    env,
    signal,
    progress: terminal,
    stderr: process.stderr,
    isTerminal: process.stdin.isTTY,
    takeSignals,
    caller: { uid: process.getuid?.(), gid: process.getgid?.(), name: userName() },
    cacheDirectory: directories.cache,
  };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user id without an entry in /etc/passwd, as in a container.
    return 'user';
  }
}

/** While a job runs, the signals are its own; whoever listened before does so again afterwards. */
function takeSignals(listener: (signal: EndingSignal) => void): () => void {
  const taken = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((name) => {
    const before = process.listeners(name);
    const hand = () => {
      listener(name);
    };
    process.on(name, hand);
    for (const other of before) process.off(name, other);
    return () => {
      for (const other of before) process.on(name, other);
      process.off(name, hand);
    };
  });
  return () => {
    for (const giveBack of taken) giveBack();
  };
}
