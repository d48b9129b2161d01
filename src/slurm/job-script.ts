import ejs from 'ejs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageDirectory } from '../package-directory.js';
import { quote } from '../ssh/quote.js';
import { renderDirectives, type JobHead } from './directives.js';

/** Everything a job script says. Paths are absolute, on the cluster or in the container. */
export interface JobScript {
  runId: string;
  head: JobHead;
  runDirectory: string;
  imagePath: string;
  /** Decimal. */
  imageBytes: string;
  /** Squashfs files mounted over the image, the lowest first. */
  overlays?: { path: string; /** Decimal. */ bytes: string }[];
  /** Paths in the container that get an empty, writable directory on the node. */
  volumes?: string[];
  /** Whether hpcrun wrote the image's environment into the SIF; otherwise the run's variables hold it. */
  isNative?: boolean;
  /** Where to leave what containers can do on the nodes; undefined where that is known. */
  containersFile?: string | undefined;
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
  const { overlays = [], containersFile, isNative = true } = script;
  // Apptainer has no way to write these characters in a bind (user guide, Bind Paths and Mounts).
  const volumes = (script.volumes ?? []).filter((path) => !/[,:\\]/.test(path));
  const quoteAll = (words: string[]) => words.map(quoteForScript).join(' ');
  const values = { ...script, overlays, containersFile, isNative, volumes, directives, usesGpu, quoteAll };
  return ejs.render(template, values, { escape: quoteForScript, strict: false });
}

/** As `quote`; sbatch refuses a script that holds CR LF anywhere, so the two bytes are kept apart by an empty word. */
function quoteForScript(word: string): string {
  return quote(word).replaceAll('\r\n', "\r''\n");
}
