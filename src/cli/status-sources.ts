import { configuredClusters, hasSandbox, loadUserConfig, sandboxClusterName } from '../config/cluster.js';
import { loadProject, type Project } from '../config/project.js';
import { HpcrunError } from '../errors.js';
import { findRuns } from '../run/find-run.js';
import { isLoss, reconnect } from '../run/reconnect.js';
import type { RunRecord } from '../run/record.js';
import type { Session } from '../run/session.js';
import { queryRuns, queryStatus, type RunStatus } from '../run/status.js';
import type { Prompter } from '../ssh/prompter.js';
import { openSession, type CommonOptions, type Context } from './context.js';

/** A cluster that could not be asked, and why. */
export interface ClusterFailure {
  cluster: string;
  error: HpcrunError;
}

export interface Answer {
  /** The newest first. */
  runs: RunStatus[];
  failures: ClusterFailure[];
}

/** What can be asked for the state of runs, once or again and again, over one connection to each cluster. */
export interface StatusSource {
  clusters: string[];
  /** Shortest time between two questions. */
  pollSeconds: number;
  ask(): Promise<Answer>;
}

/** The runs of one cluster; those that are wanted, if any are. A connection that is lost is made anew from the second question on. */
export function oneCluster(session: Session, wanted: string[], project: Project | undefined): StatusSource {
  let records: RunRecord[] | undefined;
  let hasAnswered = false;
  const query = async () => {
    if (wanted.length === 0) return await queryStatus(session);
    records ??= await findRuns(session, wanted, project?.directory);
    return await queryRuns(session, records);
  };
  return {
    clusters: [session.cluster.name],
    pollSeconds: session.cluster.pollSeconds,
    ask: async () => {
      try {
        const { runs } = await query();
        hasAnswered = true;
        return { runs: newestFirst(runs), failures: [] };
      } catch (error) {
        if (!hasAnswered || !isLoss(error)) throw error;
        await reconnect(session, { unattended: true });
        return { runs: newestFirst((await query()).runs), failures: [] };
      }
    },
  };
}

function newestFirst(runs: RunStatus[]): RunStatus[] {
  return [...runs].sort((one, other) => (one.runId < other.runId ? 1 : -1));
}

/** Runs `work` with all clusters there are, which are asked at the same time. One that does not answer stops no other. */
export async function withAllClusters<T>(
  context: Context,
  options: CommonOptions,
  work: (source: StatusSource) => Promise<T>,
): Promise<T> {
  const project = await loadProject(context.cwd);
  const user = await loadUserConfig(context.directories);
  const names = [
    ...configuredClusters(user, project).keys(),
    ...((await hasSandbox({ directories: context.directories, env: context.env })) ? [sandboxClusterName] : []),
  ];
  if (names.length === 0) {
    throw new HpcrunError('CLUSTER_UNKNOWN', 'no cluster is configured', {
      hint: 'hpcrun init, or: hpcrun sandbox up',
    });
  }
  const prompter = inTurn(context.terminal.prompter);
  const sessions: Session[] = [];
  try {
    for (const cluster of new Set(names)) {
      sessions.push(await openSession(context, { ...options, cluster }, project, prompter));
    }
    return await work(joined(sessions.map((session) => oneCluster(session, [], project))));
  } finally {
    await Promise.all(sessions.map((session) => session.close()));
  }
}

function joined(sources: StatusSource[]): StatusSource {
  return {
    clusters: sources.flatMap(({ clusters }) => clusters),
    pollSeconds: Math.max(...sources.map(({ pollSeconds }) => pollSeconds)),
    ask: async () => {
      const answers = await Promise.all(sources.map(askOrFail));
      return {
        // Two clusters of the configuration may be one.
        runs: newestFirst([...new Map(answers.flatMap(({ runs }) => runs).map((run) => [run.runId, run])).values()]),
        failures: answers.flatMap(({ failures }) => failures),
      };
    },
  };
}

async function askOrFail(source: StatusSource): Promise<Answer> {
  try {
    return await source.ask();
  } catch (error) {
    if (!(error instanceof HpcrunError) || error.code === 'INTERRUPTED') throw error;
    return { runs: [], failures: [{ cluster: source.clusters.join(), error }] };
  }
}

/** Several logins at once ask one question after the other. */
function inTurn(prompter: Prompter): Prompter {
  let before: Promise<unknown> = Promise.resolve();
  return {
    get columns() {
      return prompter.columns;
    },
    tell: (text, how) => {
      prompter.tell(text, how);
    },
    ask: (question, how) => {
      const answer = before.then(() => prompter.ask(question, how));
      before = answer.catch(() => undefined);
      return answer;
    },
  };
}
