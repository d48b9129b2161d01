import { loadUserConfig, resolveCluster } from '../config/cluster.js';
import { resolveDirectories, type Directories } from '../config/directories.js';
import { loadProject, type Project } from '../config/project.js';
import { parseBytes } from '../config/quantities.js';
import { HpcrunError, interrupted } from '../errors.js';
import { engineNames, type EngineName } from '../image/engine.js';
import { Session } from '../run/session.js';
import type { Prompter } from '../ssh/prompter.js';
import { Terminal } from './terminal.js';

/** Options that most commands have. */
export interface CommonOptions {
  json?: boolean;
  input?: boolean;
  cluster?: string;
  engine?: string;
  bwlimit?: string;
}

/** The outside world of one command. */
export interface Context {
  cwd: string;
  env: NodeJS.ProcessEnv;
  directories: Directories;
  terminal: Terminal;
  signal: AbortSignal;
}

/** @param signals what the user may end the command with */
export function makeContext(
  options: CommonOptions,
  signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'],
): Context {
  const controller = new AbortController();
  // The first Ctrl-C ends the work in order, a second one ends hpcrun at once.
  for (const name of signals) {
    process.on(name, () => {
      if (!controller.signal.aborted) controller.abort(interrupted());
      else if (name === 'SIGINT') process.exit(130);
    });
  }
  const { env } = process;
  const { signal } = controller;
  const terminal = new Terminal({
    quiet: options.json === true && !process.stderr.isTTY,
    input: options.input !== false,
    env,
    signal,
  });
  return { cwd: process.cwd(), env, directories: resolveDirectories(env), terminal, signal };
}

/** A session on the chosen cluster, whose connection is still to be made; to be closed by whoever asked for it. */
export async function openSession(
  context: Context,
  options: CommonOptions,
  project: Project | undefined,
  prompter: Prompter = context.terminal.prompter,
): Promise<Session> {
  const { env, directories, terminal, signal } = context;
  const cluster = await resolveCluster({ directories, env, project, flag: options.cluster });
  return new Session({
    directories,
    env,
    cluster,
    ...(await loadImageSettings(context, options, project)),
    bytesPerSecond: parseRate(options.bwlimit),
    progress: terminal,
    prompter,
    signal,
  });
}

/** Runs `work` with a session on the chosen cluster and closes its connection afterwards. */
export async function withSession<T>(
  context: Context,
  options: CommonOptions,
  work: (session: Session, project: Project | undefined) => Promise<T>,
): Promise<T> {
  const project = await loadProject(context.cwd);
  const session = await openSession(context, options, project);
  try {
    return await work(session, project);
  } finally {
    await session.close();
  }
}

/** `--bwlimit`, in bytes a second. Throws USAGE. */
export function parseRate(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = parseBytes(text.replace(/\/s$/, ''));
  if (bytes !== undefined && bytes > 0) return bytes;
  throw new HpcrunError('USAGE', `--bwlimit "${text}" is not a rate`, {
    hint: '--bwlimit 2M for two megabytes a second; 0 is not a limit.',
  });
}

const defaultCacheBytes = 50 * 2 ** 30;

/** The engine asked for (--engine, then HPCRUN_ENGINE, hpcrun.yaml, config.yaml) and the cache's limit in bytes. */
export async function loadImageSettings(
  { directories, env }: Pick<Context, 'directories' | 'env'>,
  options: Pick<CommonOptions, 'engine'>,
  project: Project | undefined,
): Promise<{ engine: EngineName | undefined; cacheBytes: number }> {
  const user = await loadUserConfig(directories);
  const wanted = options.engine ?? (env.HPCRUN_ENGINE === '' ? undefined : env.HPCRUN_ENGINE);
  const known = engineNames.find((name) => name === wanted);
  if (wanted !== undefined && known === undefined) {
    throw new HpcrunError('USAGE', `there is no engine "${wanted}"`, { hint: `Use ${engineNames.join(' or ')}.` });
  }
  return {
    engine: known ?? project?.config.engine ?? user.engine,
    cacheBytes: user.cache.size ?? defaultCacheBytes,
  };
}
