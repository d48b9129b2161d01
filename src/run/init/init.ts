import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { learnSurvey, type Survey } from '../../cluster/survey.js';
import { projectFileName, type Project } from '../../config/project.js';
import { parseGpus } from '../../config/quantities.js';
import { projectSchema } from '../../config/schema.js';
import type { Site } from '../../config/site.js';
import { parseYaml } from '../../config/yaml-file.js';
import { HpcrunError } from '../../errors.js';
import { withStep, type Progress } from '../../progress.js';
import type { Prompter } from '../../ssh/prompter.js';
import type { Session } from '../session.js';
import { chooseLikeliest, chooseNamed, type Candidate } from './candidates.js';
import { guessResources, type Guess } from './guess.js';
import { lookAtProject, type ProjectLook } from './look-at-project.js';
import { askOr, chooseOne } from './questions.js';
import { renderProjectFile, type ProjectFile } from './render-project-file.js';

export interface InitInputs {
  directory: string;
  candidates: Candidate[];
  asked: { cluster: string | undefined; site: Site | undefined };
  /** Without one who answers, nothing is asked and the likeliest is taken. */
  prompter: Prompter;
  canAsk: boolean;
  progress: Progress;
  signal: AbortSignal;
  /** Of the cluster that the project's configuration names; undefined where nobody is to log in. */
  openSession: ((project: Project) => Promise<Session>) | undefined;
}

export interface Initialized {
  path: string;
  look: ProjectLook;
  cluster: Candidate | undefined;
  guess: Guess;
}

/** Writes the project's hpcrun.yaml, over one that is there. Throws CLUSTER_UNKNOWN. */
export async function initProject(inputs: InitInputs): Promise<Initialized> {
  const { directory, candidates, asked, prompter, canAsk } = inputs;
  const path = join(directory, projectFileName);
  const look = await lookAtProject(directory);
  const chosen =
    chooseNamed(candidates, asked) ??
    (canAsk ? await chooseOne(prompter, 'Which cluster?', candidates) : chooseLikeliest(candidates));
  const cluster = chosen && lacksHost(chosen) && canAsk ? await askHost(prompter, chosen) : chosen;
  if (cluster?.isConfigured && asked.site && cluster.site?.name !== asked.site.name) {
    inputs.progress.warn(
      `${cluster.name} is described in your own configuration already; the site ${asked.site.name} is not used. To use it, say there: site: ${asked.site.name}`,
    );
  }
  const isSiteOnly = cluster !== undefined && !cluster.isConfigured && cluster.host === undefined;
  const user = isSiteOnly && canAsk ? await askUser(prompter, cluster) : undefined;
  const open: ProjectFile = {
    dockerfile: look.dockerfile,
    cluster,
    user,
    guess: guessResources(nothingKnown),
    survey: undefined,
  };
  const survey = cluster && (await surveyCluster(inputs, renderProjectFile(open), cluster, path));
  const guess = await ask(inputs, survey, cluster, look);
  const text = renderProjectFile({ ...open, survey, guess });
  // What is written has to be what the other commands read.
  parseYaml(text, path, projectSchema);
  await writeFile(path, text);
  return { path, look, cluster, guess };
}

const nothingKnown = { survey: undefined, site: undefined, wantsGpus: false };

/** Whether nothing says where one logs in: some sites' profiles name no login node. */
export function lacksHost({ isConfigured, host, site }: Candidate): boolean {
  return !isConfigured && host === undefined && (site?.login ?? []).length === 0;
}

async function askHost(prompter: Prompter, cluster: Candidate): Promise<Candidate> {
  const answer = await askOr(prompter, `Which host does one log in to on ${cluster.name}? (empty: leave it open)`, '');
  return answer === '' ? cluster : { ...cluster, host: answer };
}

async function askUser(prompter: Prompter, { name }: Candidate): Promise<string | undefined> {
  const answer = await askOr(prompter, `Your user name on ${name}? (empty: as your SSH configuration says)`, '');
  return answer === '' ? undefined : answer;
}

/** What the cluster says of itself; undefined, with a word about it, where it cannot be asked. */
async function surveyCluster(
  { directory, openSession, canAsk, prompter, progress, signal }: InitInputs,
  draft: string,
  candidate: Candidate,
  path: string,
): Promise<Survey | undefined> {
  const { name, site } = candidate;
  if (!openSession || lacksHost(candidate)) return undefined;
  if (canAsk && site?.secondFactor !== undefined) {
    const answer = await askOr(
      prompter,
      `Log in to ${name} to learn its partitions and accounts? It wants ${site.secondFactor}.`,
      'Y/n',
    );
    if (/^n/i.test(answer)) return undefined;
  }
  try {
    const session = await openSession({ directory, config: parseYaml(draft, path, projectSchema) });
    try {
      return await withStep(
        progress,
        `Looking around on ${name}`,
        async () => {
          const { root } = await session.facts();
          return await learnSurvey(session.cluster, root, session.connect, { refresh: false, signal });
        },
        ({ slurm }) => `${name} has SLURM ${slurm.version} and ${slurm.partitions.length} partitions`,
      );
    } finally {
      await session.close();
    }
  } catch (error) {
    if (!(error instanceof HpcrunError) || error.code === 'INTERRUPTED') throw error;
    progress.warn(`${name} could not be asked: ${error.message}. Its partitions and accounts are left open.`);
    return undefined;
  }
}

/** The guess, corrected where there is somebody to ask and something to choose. */
async function ask(
  { prompter, canAsk }: InitInputs,
  survey: Survey | undefined,
  cluster: Candidate | undefined,
  { wantsGpus }: ProjectLook,
): Promise<Guess> {
  const known = { survey, site: cluster?.site, wantsGpus };
  const guess = guessResources(known);
  if (!canAsk || !survey) return guess;
  const accounts = [guess.account, ...guess.otherAccounts].flatMap((name) =>
    name === undefined ? [] : [{ name, title: '' }],
  );
  const account = (await chooseOne(prompter, 'Which account pays for the jobs?', accounts))?.name;
  if (!survey.slurm.partitions.some(({ gpus }) => gpus.length > 0)) return guessResources({ ...known, account });
  const answer = await askOr(prompter, 'How many GPUs does a job need?', guess.gpus ?? '0');
  const gpus = parseGpus(answer);
  if (!gpus) prompter.tell(`"${answer}" is no number of GPUs; ${guess.gpus ?? 'none'} it is.`);
  const wanted = gpus ? gpus.count > 0 : wantsGpus;
  const again = guessResources({ ...known, wantsGpus: wanted, account });
  return gpus && wanted && again.gpus !== undefined ? { ...again, gpus: answer } : again;
}
