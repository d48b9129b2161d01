import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { HpcrunError } from '../errors.js';
import { projectSchema, type ProjectConfig } from './schema.js';
import { loadYamlFile } from './yaml-file.js';

export const projectFileName = 'hpcrun.yaml';

/** A project: the directory that appears in the container, and what its hpcrun.yaml says. */
export interface Project {
  /** Absolute. */
  directory: string;
  config: ProjectConfig;
}

/**
 * Finds the project around `cwd`: the nearest directory upwards with an hpcrun.yaml, otherwise the nearest with a
 * Dockerfile. Undefined if there is neither. Throws CONFIG_INVALID.
 */
export async function loadProject(cwd: string): Promise<Project | undefined> {
  const directory = nearest(cwd, projectFileName) ?? nearest(cwd, 'Dockerfile');
  if (directory === undefined) return undefined;
  const config = await loadYamlFile(join(directory, projectFileName), projectSchema);
  return { directory, config: config ?? projectSchema.parse({}) };
}

/** As loadProject, for commands that cannot do without one. Throws PROJECT_NOT_FOUND. */
export async function requireProject(cwd: string): Promise<Project> {
  const project = await loadProject(cwd);
  if (project) return project;
  throw new HpcrunError('PROJECT_NOT_FOUND', `there is no Dockerfile and no ${projectFileName} in ${cwd} or above it`, {
    hint: 'Go to your project, or write a Dockerfile: examples/digits/Dockerfile is one to start from.',
  });
}

/**
 * Searches upwards, no further than the git repository `start` is in. The home directory and the root are projects only
 * for whoever calls hpcrun right there: a stray Dockerfile must not send somebody's keys to a cluster.
 */
function nearest(start: string, fileName: string): string | undefined {
  for (let directory = start; ; directory = dirname(directory)) {
    const isTopmost = dirname(directory) === directory;
    const isPrivate = directory !== start && (isTopmost || directory === homedir());
    if (!isPrivate && existsSync(join(directory, fileName))) return directory;
    if (isTopmost || isPrivate || existsSync(join(directory, '.git'))) return undefined;
  }
}
