import ejs from 'ejs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageDirectory } from '../package-directory.js';
import { quote, quoteAll } from '../ssh/quote.js';
import { renderDirectives, type JobHead } from './directives.js';

/** Everything a job script says. Paths are absolute, on the cluster or in the container. */
export interface JobScript {
  runId: string;
  head: JobHead;
  runDirectory: string;
  imagePath: string;
  /** Decimal. */
  imageBytes: string;
  binds: { source: string; target: string; readonly: boolean }[];
  /** Where the project's work copy appears in the container. */
  mount: string;
  containerDirectory: string;
  modules: string[];
  /** The full argument vector. */
  command: string[];
  hpcrunVersion: string;
}

/** The names of the templates in slurm-templates/. */
export type TemplateName = 'single';

export async function loadTemplate(name: TemplateName): Promise<string> {
  return await readFile(join(packageDirectory(), 'slurm-templates', `${name}.sbatch.ejs`), 'utf8');
}

/** Renders a batch script. Pure; values enter it through the shell quoter or the directives only. */
export function renderJobScript(template: string, script: JobScript): string {
  const directives = renderDirectives(script.head);
  const usesGpu = (script.head.resources.gpus?.count ?? 0) > 0;
  return ejs.render(template, { ...script, directives, usesGpu, quote, quoteAll }, { escape: quote, strict: false });
}
