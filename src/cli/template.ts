import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { loadProject, requireProject } from '../config/project.js';
import { HpcrunError } from '../errors.js';
import { writeAtomically } from '../local-file.js';
import {
  describeTemplate,
  listTemplateNames,
  loadTemplate,
  parseTemplateName,
  projectTemplateNames,
  templateDirectory,
  templatePath,
} from '../slurm/templates.js';
import { makeContext } from './context.js';
import { printJson, printLine } from './output.js';

export interface TemplateOptions {
  json?: boolean;
}

export interface EjectOptions extends TemplateOptions {
  as?: string;
  force?: boolean;
}

/** `hpcrun template list`. */
export async function templateListCommand({ json }: TemplateOptions): Promise<number> {
  const directory = (await loadProject(process.cwd()))?.directory;
  const own = directory === undefined ? [] : await projectTemplateNames(directory);
  const names = [...new Set([...(await listTemplateNames()), ...own])].sort();
  const rows = await Promise.all(
    names.map(async (name) => {
      if (own.includes(name) && directory !== undefined) {
        const path = templatePath(templateDirectory(directory), name);
        return { name, description: `your project's own, ${path}`, path };
      }
      return { name, description: describeTemplate(await loadTemplate(name)), path: null };
    }),
  );
  const width = Math.max(...names.map((name) => name.length));
  for (const row of rows) {
    if (json) printJson({ type: 'template', ...row });
    else printLine(`${row.name.padEnd(width)}  ${row.description}`);
  }
  return 0;
}

/** `hpcrun template show`. */
export async function templateShowCommand(name: string): Promise<number> {
  const { text } = await loadTemplate(name, (await loadProject(process.cwd()))?.directory);
  process.stdout.write(text);
  return 0;
}

/** `hpcrun template eject`. Throws OUTPUT_EXISTS for a file that is there. */
export async function templateEjectCommand(name: string, options: EjectOptions): Promise<number> {
  const { terminal } = makeContext(options);
  const { directory } = await requireProject(process.cwd());
  const { text } = await loadTemplate(name);
  const path = templatePath(templateDirectory(directory), parseTemplateName(options.as ?? name));
  if (existsSync(path) && options.force !== true) {
    throw new HpcrunError('OUTPUT_EXISTS', `there is ${path} already`, { hint: '--force writes a new one over it.' });
  }
  await mkdir(dirname(path), { recursive: true });
  await writeAtomically(path, text);
  if (options.json) printJson({ type: 'ejected', name: options.as ?? name, path });
  else printLine(path);
  terminal.note(
    options.as === undefined
      ? `Jobs of the template ${name} are made from it now; remove it to go back.`
      : `hpcrun submit --template ${options.as} … makes jobs from it.`,
  );
  return 0;
}
