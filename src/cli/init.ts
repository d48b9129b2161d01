import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { hasSandbox, loadUserConfig } from '../config/cluster.js';
import { projectFileName, type Project } from '../config/project.js';
import { loadSite, loadSites } from '../config/site.js';
import { HpcrunError } from '../errors.js';
import { listCandidates } from '../run/init/candidates.js';
import { initProject, lacksHost, type Initialized } from '../run/init/init.js';
import { askOr } from '../run/init/questions.js';
import { listSshHosts } from '../ssh/ssh-hosts.js';
import { makeContext, openSession, type CommonOptions, type Context } from './context.js';
import { printJson, printLine } from './output.js';

export interface InitOptions extends CommonOptions {
  site?: string;
  login: boolean;
  force?: boolean;
}

/** `hpcrun init`. */
export async function initCommand(options: InitOptions): Promise<number> {
  const context = makeContext(options);
  const { cwd, env, directories, terminal, signal } = context;
  if (!(await mayWrite(context, options))) {
    terminal.note(`${projectFileName} is left as it is.`);
    return 0;
  }
  const candidates = listCandidates({
    user: await loadUserConfig(directories),
    hosts: await listSshHosts(),
    sites: await loadSites(directories),
    hasSandbox: await hasSandbox({ directories, env }),
  });
  const done = await initProject({
    directory: cwd,
    candidates,
    asked: {
      cluster: options.cluster,
      site: options.site === undefined ? undefined : await loadSite(options.site, directories),
    },
    prompter: terminal.prompter,
    canAsk: terminal.canAsk,
    progress: terminal,
    signal,
    openSession: options.login
      ? (project) => openSession(context, { ...options, ...clusterOf(project) }, project)
      : undefined,
  });
  print(context, options, done);
  return 0;
}

/** The project's own word for its cluster, which HPCRUN_CLUSTER must not overrule here. */
function clusterOf({ config }: Project): Pick<CommonOptions, 'cluster'> {
  return config.cluster === undefined ? {} : { cluster: config.cluster };
}

/** Whether there is nothing to lose, or the user wants to lose it. Throws OUTPUT_EXISTS where nobody can be asked. */
async function mayWrite({ cwd, terminal }: Context, { force }: InitOptions): Promise<boolean> {
  if (force === true || !existsSync(join(cwd, projectFileName))) return true;
  if (terminal.canAsk)
    return /^y(?:es)?$/i.test(await askOr(terminal.prompter, `${projectFileName} is there. Replace it?`, 'y/N'));
  throw new HpcrunError('OUTPUT_EXISTS', `${join(cwd, projectFileName)} is there already`, {
    hint: 'Say --force to replace it, or check it with: hpcrun doctor',
  });
}

function print({ terminal }: Context, options: InitOptions, { path, look, cluster, guess }: Initialized): void {
  if (options.json) {
    printJson({
      type: 'initialized',
      path,
      cluster: cluster?.name ?? null,
      site: cluster?.site?.name ?? null,
      dockerfile: look.dockerfile ?? null,
      partition: guess.partition?.name ?? null,
      account: guess.account ?? null,
      gpus: guess.gpus ?? null,
    });
    return;
  }
  printLine(path);
  if (look.dockerfile === undefined)
    terminal.warn('there is no Dockerfile yet: write one, or name an image under image: {name: IMAGE}');
  if (!cluster) {
    terminal.note('No cluster is known: name yours in the file, or try one on this machine with "hpcrun sandbox up".');
  }
  if (cluster && lacksHost(cluster)) {
    terminal.warn(`hpcrun does not know where one logs in to ${cluster.name}: say so in the file, host: NAME`);
  }
  terminal.note('  hpcrun doctor          does everything fit?\n  hpcrun submit SCRIPT   the first job');
}
