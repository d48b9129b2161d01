import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { isAbsolute, posix, relative, resolve, sep } from 'node:path';
import type { Bind } from '../config/bind.js';
import type { Project } from '../config/project.js';
import { mergeResources, type Resources } from '../config/resources.js';
import type { Conversion } from '../config/schema.js';
import { HpcrunError, isMissing } from '../errors.js';
import { isSettable } from '../image/container-metadata.js';
import type { BuildRequest } from '../image/engine.js';
import type { RequestedCommand } from '../image/container-command.js';
import { planResume } from './plan-resume.js';
import type { RunRecord } from './record.js';
import type { ResumeRequest } from '../config/resume.js';
import { loadTemplate, type Template } from '../slurm/templates.js';
import { requirePlaceholders } from './sweep/fill-command.js';
import { sweepHint, type Sweep } from './sweep/sweep.js';

/** What the user asked for on the command line. */
export interface SubmitRequest {
  /** SCRIPT and its arguments, or what stood behind `--`; empty for the image's own command. */
  words: string[];
  /** Whether the words stood behind `--`. */
  isCommand: boolean;
  name?: string;
  /** The shape of the job: a file of slurm-templates/. */
  template?: string;
  resources: Resources;
  /** What happens at the time limit, if anything is said of it. */
  resume?: boolean | ResumeRequest;
  /** Many tasks, each with its own parameters. */
  sweep?: Sweep;
  /** `NAME=value` or `NAME`, as for `docker run --env`. */
  env: string[];
  binds: Bind[];
  /** `NAME=value` or `NAME`, as for `docker build --build-arg`. */
  buildArgs: string[];
  conversion?: Conversion;
  /** Convert even what has been converted before. */
  noCache?: boolean;
}

/** Where the image comes from; paths are absolute. */
export type ImageSource =
  | { kind: 'build'; request: Omit<BuildRequest, 'platform'> }
  | { kind: 'name'; name: string }
  | { kind: 'sif'; path: string };

/** What is decided about an image before anything is done. */
export interface ImagePlan {
  image: ImageSource;
  /** `linux/amd64` and the like; undefined for the cluster's. */
  platform: string | undefined;
  permissions: 'open' | 'keep';
  conversion: Conversion;
  noCache: boolean;
  /** Of the job, for a conversion that is a job, too. */
  resources: Resources;
  mount: string;
}

/** Everything that is decided before anything is done. */
export interface Plan extends ImagePlan {
  name: string;
  template: Template;
  sweep?: Sweep | undefined;
  project: Project;
  command: RequestedCommand;
  /** The job's working directory in the container. */
  containerDirectory: string;
  /** Variables of the job, secrets included. */
  variables: Record<string, string>;
  /** Sources are still as the user wrote them. */
  binds: Bind[];
  /** How it goes on at its time limit, if it does. */
  resume?: RunRecord['resume'];
}

/**
 * Turns a request into a plan. Reads nothing but the template and the script's own file status. Throws SCRIPT_NOT_FOUND,
 * SCRIPT_OUTSIDE_PROJECT, DOCKERFILE_NOT_FOUND, IMAGE_NOT_FOUND, VARIABLE_MISSING or TEMPLATE_NOT_FOUND.
 */
export async function planRun(
  project: Project,
  request: SubmitRequest,
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<Plan> {
  const { config, directory } = project;
  const command = await planCommand(project, request, cwd);
  const asked = request.template ?? config.template;
  const template = request.sweep && asked === 'single' ? 'array' : asked;
  const resources = { ...config.resources, ...request.resources };
  const inside = relative(directory, cwd).split(sep).join('/');
  return {
    name: request.name ?? config.name ?? defaultName(command, directory),
    template: await planTemplate(template, project, request),
    sweep: request.sweep,
    project,
    ...(await planImage(project, request, env)),
    command,
    containerDirectory: posix.join(config.mount, inside),
    variables: requireSettable({
      ...config.env,
      ...readVariables(config.secrets, env, 'secrets'),
      ...readVariables(request.env, env, '--env'),
    }),
    binds: [...config.binds, ...request.binds],
    resume: planResume({ configured: config.resume, asked: request.resume, template, resources }),
  };
}

/** Throws TEMPLATE_NOT_FOUND, or USAGE where shape and sweep do not fit. */
async function planTemplate(
  template: string,
  { directory }: Project,
  { sweep, words }: SubmitRequest,
): Promise<Template> {
  if (sweep) requirePlaceholders(sweep, words);
  const loaded = await loadTemplate(template, directory);
  if (loaded.text.includes('sweep.snapshot') === (sweep !== undefined)) return loaded;
  throw sweep
    ? new HpcrunError('USAGE', `the template ${template} cannot run the tasks of a sweep`, {
        hint: 'Leave --template out, or submit without --sweep.',
      })
    : new HpcrunError('USAGE', `the template ${template} is for sweeps`, { hint: sweepHint });
}

/**
 * The part of a plan that is about the image. Throws DOCKERFILE_NOT_FOUND, IMAGE_NOT_FOUND, VARIABLE_MISSING or USAGE.
 */
export async function planImage(
  project: Project,
  request: Pick<SubmitRequest, 'resources' | 'buildArgs' | 'conversion' | 'noCache'>,
  env: NodeJS.ProcessEnv,
): Promise<ImagePlan> {
  const { config } = project;
  return {
    image: await findSource(project, readVariables(request.buildArgs, env, '--build-arg')),
    platform: config.image.platform === 'auto' ? undefined : config.image.platform,
    permissions: config.image.permissions,
    conversion: request.conversion ?? config.convert ?? 'auto',
    noCache: request.noCache ?? false,
    mount: config.mount,
    resources: mergeResources(config.resources, request.resources),
  };
}

async function findSource({ config, directory }: Project, buildArgs: Record<string, string>): Promise<ImageSource> {
  const { dockerfile, context, target, args, name, sif } = config.image;
  if ((name ?? sif) !== undefined && Object.keys(buildArgs).length > 0) {
    throw new HpcrunError('USAGE', '--build-arg is for an image that is built; this project names a finished one', {
      hint: 'Leave it out, or name a Dockerfile in hpcrun.yaml: image: {dockerfile: Dockerfile}',
    });
  }
  if (name !== undefined) return { kind: 'name', name };
  if (sif !== undefined) {
    const path = resolve(directory, sif);
    if ((await statOf(path))?.isFile()) return { kind: 'sif', path };
    throw new HpcrunError('IMAGE_NOT_FOUND', `there is no SIF at ${path}`, {
      hint: 'hpcrun.yaml names it under image: {sif: PATH}; hpcrun convert IMAGE OUT.sif makes one.',
    });
  }
  const path = resolve(directory, dockerfile ?? 'Dockerfile');
  await requireDockerfile(path);
  return {
    kind: 'build',
    request: {
      dockerfile: path,
      context: resolve(directory, context ?? '.'),
      ...(target === undefined ? {} : { target }),
      args: { ...args, ...buildArgs },
      tag: imageTag(directory),
    },
  };
}

async function requireDockerfile(path: string): Promise<void> {
  if ((await statOf(path))?.isFile()) return;
  throw new HpcrunError('DOCKERFILE_NOT_FOUND', `there is no Dockerfile at ${path}`, {
    hint: 'Write one (examples/digits/Dockerfile is one to start from), or name yours in hpcrun.yaml: image: {dockerfile: PATH}',
  });
}

async function planCommand(project: Project, request: SubmitRequest, cwd: string): Promise<RequestedCommand> {
  const [script, ...args] = request.words;
  if (script === undefined) return { kind: 'image' };
  if (request.isCommand) return { kind: 'command', argv: request.words };

  const full = resolve(cwd, script);
  const fromProject = relative(project.directory, full);
  const isInside = !isAbsolute(fromProject) && fromProject !== '..' && !fromProject.startsWith(`..${sep}`);
  const stats = await statOf(full);
  if (!stats?.isFile()) {
    throw new HpcrunError('SCRIPT_NOT_FOUND', `there is no script ${script} in ${cwd}`, {
      hint: `Options go before the script; to run a program of the image: hpcrun submit -- ${request.words.join(' ')}`,
    });
  }
  if (!isInside) {
    throw new HpcrunError(
      'SCRIPT_OUTSIDE_PROJECT',
      `${full} is outside of the project ${project.directory}, which is all that is sent`,
      {
        hint: 'Copy it into the project, or put an hpcrun.yaml into the directory that holds both.',
      },
    );
  }
  const path = relative(cwd, full).split(sep).join('/');
  return { kind: 'script', path, isExecutable: (stats.mode & 0o100) !== 0, args };
}

async function statOf(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** `NAME=value` as it stands; `NAME` from the environment. Throws VARIABLE_MISSING for one that is not set. */
export function readVariables(items: string[], env: NodeJS.ProcessEnv, where: string): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const item of items) {
    const equals = item.indexOf('=');
    const name = equals === -1 ? item : item.slice(0, equals);
    const value = equals === -1 ? env[item] : item.slice(equals + 1);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw new HpcrunError('USAGE', `${where}: "${name}" is not a variable name`, { hint: `${where} NAME=value` });
    }
    if (value === undefined) {
      throw new HpcrunError('VARIABLE_MISSING', `${where}: ${name} is not set in your environment`, {
        hint: `export ${name}=… first, or leave it out.`,
      });
    }
    variables[name] = value;
  }
  return variables;
}

/** Throws USAGE for variables that the shell in Apptainer keeps to itself. */
function requireSettable(variables: Record<string, string>): Record<string, string> {
  const name = Object.keys(variables).find((each) => !isSettable(each));
  if (name === undefined) return variables;
  throw new HpcrunError('USAGE', `the variable ${name} cannot be set in a job: Apptainer sets it`, {
    hint: 'Give it another name.',
  });
}

function defaultName(command: RequestedCommand, directory: string): string {
  const base =
    command.kind === 'script'
      ? posix.basename(command.path, posix.extname(command.path))
      : command.kind === 'command'
        ? posix.basename(command.argv[0] ?? '')
        : posix.basename(directory.split(sep).join('/'));
  return base.replaceAll(/[^\w.+-]+/g, '-').replace(/^[-.]+/, '') || 'run';
}

// One image name for each project directory: Docker's cache and `docker images` then show one line a project.
function imageTag(directory: string): string {
  const name = (directory.split(sep).at(-1) ?? '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  return `hpcrun/${name || 'project'}:${createHash('sha256').update(directory).digest('hex').slice(0, 8)}`;
}

/** The image as a person would name it, for messages and records. */
export function describeImage(source: ImageSource): string {
  switch (source.kind) {
    case 'build':
      return source.request.tag;
    case 'name':
      return source.name;
    case 'sif':
      return source.path;
  }
}

/** The command as a person would say it, for messages. */
export function describeCommand(command: RequestedCommand): string {
  switch (command.kind) {
    case 'script':
      return [command.path, ...command.args].join(' ');
    case 'command':
      return command.argv.join(' ');
    case 'image':
      return "the image's own command";
  }
}
