import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HpcrunError, isMissing, messageOf } from '../errors.js';
import { packageDirectory } from '../package-directory.js';
import { closest } from '../suggest.js';
import { lintTemplate } from './lint-template.js';

const templateSuffix = '.sbatch.ejs';

/** What a template may be called; its file is `slurm-templates/NAME.sbatch.ejs`. */
const templateName = /^[a-z][a-z0-9-]*$/;

/** The shape of a job, as text for ejs. */
export interface Template {
  name: string;
  text: string;
  /** Its file, if it is the project's own. */
  path: string | undefined;
}

/** The directory of a project's own templates, and of hpcrun's. */
export function templateDirectory(projectDirectory = packageDirectory()): string {
  return join(projectDirectory, 'slurm-templates');
}

/** The names of hpcrun's own templates, in order. */
export async function listTemplateNames(): Promise<string[]> {
  return namesIn(await readdir(templateDirectory()));
}

/** The names of the templates a project has of its own, in order. */
export async function projectTemplateNames(projectDirectory: string): Promise<string[]> {
  const directory = templateDirectory(projectDirectory);
  return existsSync(directory) ? namesIn(await readdir(directory)) : [];
}

/** Throws USAGE for what cannot be the name of a template. */
export function parseTemplateName(name: string): string {
  if (templateName.test(name)) return name;
  throw new HpcrunError('USAGE', `"${name}" is not the name of a template: small letters, digits and -`, {
    hint: 'hpcrun template list',
  });
}

function namesIn(files: string[]): string[] {
  return files
    .filter((file) => file.endsWith(templateSuffix))
    .map((file) => file.slice(0, -templateSuffix.length))
    .sort();
}

/** Where a template's file is in a directory of templates. */
export function templatePath(directory: string, name: string): string {
  return join(directory, `${name}${templateSuffix}`);
}

/**
 * The text of a template, its partials in place: the project's own one of this name, or else hpcrun's. Throws
 * TEMPLATE_NOT_FOUND, and TEMPLATE_INVALID for one of the project's that would not do what it says.
 */
export async function loadTemplate(name: string, projectDirectory?: string): Promise<Template> {
  if (!templateName.test(name)) throw await unknownTemplate(name);
  const path = projectDirectory === undefined ? undefined : templatePath(templateDirectory(projectDirectory), name);
  if (path !== undefined && existsSync(path)) return { name, text: await readProjectTemplate(path), path };
  const own = templatePath(templateDirectory(), name);
  if (!existsSync(own)) throw await unknownTemplate(name);
  return { name, text: await insertPartials(await readFile(own, 'utf8')), path: undefined };
}

async function readProjectTemplate(path: string): Promise<string> {
  const text = await readFile(path, 'utf8');
  const faults = lintTemplate(text);
  if (faults.length > 0) {
    throw new HpcrunError(
      'TEMPLATE_INVALID',
      faults.map(({ line, problem }) => `${path}:${line}: ${problem}`).join('\n'),
      { hint: "Correct these lines, or remove the file to use hpcrun's own: hpcrun template show, docs/templates.md." },
    );
  }
  try {
    return await insertPartials(text);
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new HpcrunError('TEMPLATE_INVALID', `${path}: it includes what hpcrun does not have: ${messageOf(error)}`, {
      hint: "Files of the package's slurm-templates/ can be included, such as partials/run.sh.ejs.",
    });
  }
}

async function unknownTemplate(name: string): Promise<HpcrunError> {
  const names = await listTemplateNames();
  const close = closest(name, names);
  return new HpcrunError(
    'TEMPLATE_NOT_FOUND',
    `there is no template "${name}"${close === undefined ? '' : `; did you mean "${close}"?`}`,
    {
      hint: `There are ${names.join(', ')}; one of your own is slurm-templates/NAME${templateSuffix} in the project.`,
    },
  );
}

const includeLine = /^<%- include\('([\w./-]+)'\) -%>\n/gm;

/**
 * Puts the files a text includes in the place of the lines that name them: the result needs no other file, and its lines are what
 * a user would edit. Paths are from slurm-templates/.
 */
async function insertPartials(text: string): Promise<string> {
  const paths = [...text.matchAll(includeLine)].map((match) => match[1] ?? '');
  if (paths.length === 0) return text;
  const partials = new Map(
    await Promise.all(
      [...new Set(paths)].map(
        async (path) => [path, await insertPartials(await readFile(join(templateDirectory(), path), 'utf8'))] as const,
      ),
    ),
  );
  return text.replaceAll(includeLine, (line, path: string) => partials.get(path) ?? line);
}

/** What a template says of itself in its first line, `<%# … -%>`; empty if it says nothing. */
export function describeTemplate({ text }: Template): string {
  return /^<%# (.*?) -%>\n/.exec(text)?.[1] ?? '';
}
