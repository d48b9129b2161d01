import { learnSurvey, type Survey } from '../../cluster/survey.js';
import type { ClusterFacts } from '../../cluster/probe.js';
import type { Project } from '../../config/project.js';
import { withStep } from '../../progress.js';
import type { Connection } from '../../ssh/connection.js';
import { planImage } from '../plan.js';
import type { Session } from '../session.js';
import { resourcesOn } from '../site-request.js';
import { problemOf, type Finding, type Section } from './finding.js';
import { judgeLogin, judgeLoginContainer, judgeSlurm, judgeStorage } from './judge-survey.js';
import { judgeTrial } from './judge-trial.js';
import { judgeWishes, mendRefusal } from './judge-wishes.js';
import { rehearse } from './rehearse.js';
import { examineMachine, type Machine } from './this-machine.js';
import { runTrial } from './trial.js';

export interface Patient {
  machine: Machine;
  env: NodeJS.ProcessEnv;
  /** The project, if there is one here. Throws CONFIG_INVALID. */
  loadProject: () => Promise<Project | undefined>;
  /** Throws CLUSTER_UNKNOWN or CONFIG_INVALID. */
  openSession: (project: Project | undefined) => Promise<Session>;
  /** How long a small job may wait in the queue; undefined for no job at all. */
  patienceSeconds: number | undefined;
}

/** Looks at everything a submit needs, from this machine to a compute node. `report` gets the findings as they come. */
export async function examine(patient: Patient, report: (findings: Finding[]) => void): Promise<Finding[]> {
  const all: Finding[] = [];
  const tell = (findings: Finding[]) => {
    all.push(...findings);
    report(findings);
  };
  tell(await examineMachine(patient.machine));
  await examineFarSide(patient, tell);
  return all;
}

async function examineFarSide(patient: Patient, tell: (findings: Finding[]) => void): Promise<void> {
  let project: Project | undefined;
  try {
    project = await patient.loadProject();
  } catch (error) {
    tell(skip(['login', 'slurm', 'storage', 'containers'], 'hpcrun.yaml has to be mended first'));
    tell([problemOf('project', 'configuration', error)]);
    return;
  }
  let session: Session;
  try {
    session = await patient.openSession(project);
  } catch (error) {
    tell([problemOf('login', 'cluster', error)]);
    tell(skip(['slurm', 'storage', 'containers'], 'there is no cluster to look at'));
    tell(await examineProject(project, patient.env));
    return;
  }
  try {
    await examineCluster(session, project, patient, tell);
  } finally {
    await session.close();
  }
}

function skip(names: Section[], why: string): Finding[] {
  return names.map((section) => ({ section, name: section, verdict: 'skipped', message: `not looked at: ${why}` }));
}

async function examineCluster(
  session: Session,
  project: Project | undefined,
  { env, patienceSeconds }: Patient,
  tell: (findings: Finding[]) => void,
): Promise<void> {
  const { cluster } = session;
  let connection: Connection;
  try {
    connection = await session.connect();
  } catch (error) {
    tell([problemOf('login', 'connection', error)]);
    tell(skip(['slurm', 'storage', 'containers'], `${cluster.name} cannot be reached`));
    tell(await examineProject(project, env));
    return;
  }
  tell([
    { section: 'login', name: 'connection', verdict: 'ok', message: `${cluster.name}: ${connection.description}` },
  ]);
  const binds = project?.config.binds ?? [];
  const { facts, problem } = await learnFacts(
    session,
    binds.map(({ source }) => source),
  );
  const survey = await learnSurvey(cluster, facts?.root ?? '/', session.connect, {
    refresh: true,
    signal: session.signal,
  });
  tell(judgeLogin(survey));
  tell(judgeSlurm(survey, cluster));
  const storage = facts ? judgeStorage(survey, cluster, facts.root) : [problem];
  tell(storage);
  tell([judgeLoginContainer(survey)]);
  const canRun = survey.slurm.found !== 'none' && !storage.some(({ verdict }) => verdict === 'problem');
  const wishes = resourcesOn(cluster, project?.config.resources ?? {});
  if (facts && canRun && patienceSeconds !== undefined) {
    tell(await tryContainer(session, survey, { facts, connection, wishes, patienceSeconds }));
  } else {
    const message =
      patienceSeconds === undefined ? 'no job was run' : 'no job was run, since it could not have started';
    tell([{ section: 'containers', name: 'job', verdict: 'skipped', message }]);
  }
  tell(await examineProject(project, env));
  if (!project) return;
  tell(judgeArchitecture(survey, await engineArchitecture(session)));
  if (survey.slurm.found !== 'none') tell(judgeWishes(wishes, survey.slurm, cluster));
  if (facts) tell(await rehearse(connection, { cluster, facts, wishes, binds, slurm: survey.slurm }, session.signal));
}

/** Facts of the cluster, or, where a path of the configuration makes no sense there, the problem. */
async function learnFacts(
  session: Session,
  paths: string[],
): Promise<{ facts: ClusterFacts; problem?: never } | { facts?: never; problem: Finding }> {
  try {
    return { facts: await session.facts(paths) };
  } catch (error) {
    return { problem: problemOf('storage', 'root', error) };
  }
}

async function tryContainer(
  session: Session,
  { modules, slurm }: Survey,
  inputs: Pick<Parameters<typeof runTrial>[0], 'facts' | 'connection' | 'wishes' | 'patienceSeconds'>,
): Promise<Finding[]> {
  const { cluster, progress, signal } = session;
  try {
    const result = await withStep(
      progress,
      `Running a small job on ${cluster.name}`,
      (step) =>
        runTrial({
          ...inputs,
          cluster,
          signal,
          onProgress: (detail) => {
            step.update(detail);
          },
        }),
      ({ kind }) =>
        kind === 'waiting' ? `A small job did not start on ${cluster.name}` : `A small job has run on ${cluster.name}`,
    );
    return judgeTrial(result, cluster, modules);
  } catch (error) {
    const problem = problemOf('containers', 'job', error);
    if (problem.verdict !== 'problem' || problem.code !== 'SLURM_REFUSED') return [problem];
    return [{ ...problem, remedy: mendRefusal(problem.message, slurm) }];
  }
}

/** What can be said of a project without a cluster. */
async function examineProject(project: Project | undefined, env: NodeJS.ProcessEnv): Promise<Finding[]> {
  if (!project) return skip(['project'], 'there is neither an hpcrun.yaml nor a Dockerfile here');
  const section = 'project';
  const findings: Finding[] = [];
  try {
    const { image } = await planImage(project, { resources: {}, buildArgs: [] }, env);
    const what = image.kind === 'build' ? image.request.dockerfile : image.kind === 'name' ? image.name : image.path;
    findings.push({ section, name: 'image', verdict: 'ok', message: `the image comes from ${what}` });
  } catch (error) {
    findings.push(problemOf(section, 'image', error));
  }
  const missing = project.config.secrets.filter((name) => env[name] === undefined);
  if (missing.length > 0) {
    findings.push({
      section,
      name: 'secrets',
      verdict: 'problem',
      message: `secrets that are not set in your environment: ${missing.join(', ')}`,
      remedy: `export ${missing[0] ?? 'NAME'}=… first, or remove it from secrets: in hpcrun.yaml.`,
      code: 'VARIABLE_MISSING',
    });
  }
  return findings;
}

async function engineArchitecture(session: Session): Promise<string | undefined> {
  try {
    return await (await session.engine()).architecture({ signal: session.signal });
  } catch (error) {
    // It has been reported as a problem of this machine.
    problemOf('machine', 'engine', error);
    return undefined;
  }
}

function judgeArchitecture({ architecture }: Pick<Survey, 'architecture'>, engine: string | undefined): Finding[] {
  if (engine === undefined || engine === architecture) return [];
  return [
    {
      section: 'project',
      name: 'architecture',
      verdict: 'note',
      message: `the cluster is ${architecture} and this machine ${engine}: images are built by emulation, which is slow`,
      remedy: 'If builds fail on Linux: "apt-get install qemu-user-static".',
    },
  ];
}
