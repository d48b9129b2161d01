import ejs from 'ejs';
import { HpcrunError } from '../errors.js';
import { quote } from '../ssh/quote.js';
import { renderDirectives, type JobHead } from './directives.js';
import { rulesIn, type SlurmRules } from './rules.js';
import { saveSignals } from './signals.js';
import type { Template } from './templates.js';
import { renderTorchrunWords } from './torchrun.js';

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
  /** What the site demands. */
  rules?: SlurmRules;
  /** By which jobs are submitted there; undefined for sbatch. */
  sbatch?: string | undefined;
  /** What runs containers on the nodes; undefined for apptainer or singularity, whichever is there. */
  containerCommand?: string | undefined;
  /** By which the nodes reach the internet. */
  proxy?: string | undefined;
  /** Whether the nodes reach the internet, where the site says; undefined where a job has to try. */
  computeInternet?: boolean | undefined;
  /** What starts the tasks of a job; srun where nothing is said. */
  launcher?: 'srun' | 'ibrun' | undefined;
  /** Behind the host names by which the processes of a job find each other. */
  rendezvousSuffix?: string | undefined;
  /** How many processes torchrun starts on each node. */
  processesPerNode?: number;
  /** The full argument vector; empty for a sweep, each task of which has its own. */
  command: string[];
  /** Of the tasks of a sweep. */
  sweep?: {
    /** The project, of which each task makes itself a copy. */
    snapshot: string;
  };
  hpcrunVersion: string;
}

/** Renders a batch script. Pure; values enter it through the shell quoter or the directives only. */
export function renderJobScript(template: Template, script: JobScript): string {
  const { rules = {}, containerCommand, proxy, computeInternet } = script;
  const directives = renderDirectives(script.head, rules);
  const { resume } = script.head;
  const usesGpu = (script.head.resources.gpus?.count ?? 0) > 0;
  const { overlays = [], containersFile, isNative = true } = script;
  // Apptainer has no way to write these characters in a bind (user guide, Bind Paths and Mounts).
  const volumes = (script.volumes ?? []).filter((path) => !/[,:\\]/.test(path));
  const quoteAll = (words: string[]) => words.map(quoteForScript).join(' ');
  const values = {
    ...{
      ...script,
      overlays,
      containersFile,
      isNative,
      sweep: script.sweep,
      volumes,
      directives,
      usesGpu,
      quoteAll,
      proxy,
      computeInternet,
    },
    resume: resume && { ...resume, signalNumber: saveSignals[resume.signal], sbatch: script.sbatch ?? 'sbatch' },
    launcher: script.launcher ?? 'srun',
    rendezvousSuffix: script.rendezvousSuffix ?? '',
    processesPerNode: script.processesPerNode ?? 1,
    torchrun: renderTorchrunWords(script.command),
    ...renderContainerSearch(containerCommand),
    gpuOption: rulesIn(rules, script.head.resources.partition).gpus.vendor === 'amd' ? '--rocm' : '--nv',
    exportsNothing: directives.some((directive) => directive === '--export=NONE'),
  };
  requireKnownValues(template, Object.keys(values));
  return ejs.render(template.text, values, { escape: quoteForScript, strict: false });
}

/** Shell code that prints where the container program is, what its module may be called, and the message where there is none. */
export function renderContainerSearch(command: string | undefined): {
  findContainer: string;
  containerModules: string[];
  containerMissing: string;
} {
  const names = command === undefined ? ['apptainer', 'singularity'] : [command];
  return {
    containerModules: names.filter((name) => !name.includes('/')),
    findContainer: names.map((name) => `command -v ${quote(name)}`).join(' || '),
    containerMissing: command === undefined ? 'neither apptainer nor singularity was found' : `there is no ${command}`,
  };
}

/** As `quote`; sbatch refuses a script that holds CR LF anywhere, so the two bytes are kept apart by an empty word. */
function quoteForScript(word: string): string {
  return quote(word).replaceAll('\r\n', "\r''\n");
}

/** Throws TEMPLATE_INVALID for a template that wants a value which neither hpcrun nor its own code has: it would be left out in silence. */
function requireKnownValues({ name, text, path }: Template, names: string[]): void {
  const code = [...text.matchAll(/<%(?![=#-])(.*?)%>/gs)].map((match) => match[1] ?? '').join('\n');
  const known = new Set([...names, ...(code.match(/[A-Za-z_]\w*/g) ?? [])]);
  const unknown = text.split('\n').flatMap((line, index) =>
    [...line.matchAll(/<%[=-]\s*([A-Za-z_]\w*)\s*[-_]?%>/g)]
      .map((match) => match[1] ?? '')
      .filter((each) => !known.has(each))
      .map((each) => `${path ?? name}:${index + 1}: hpcrun has no value ${each}`),
  );
  if (unknown.length === 0) return;
  throw new HpcrunError('TEMPLATE_INVALID', unknown.join('\n'), {
    hint: `hpcrun template show ${name} shows what there is.`,
  });
}
