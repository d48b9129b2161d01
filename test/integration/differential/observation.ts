/** What one side, Docker or a job, showed of a run. */
export interface Observation {
  exitCode: number;
  stdout: Buffer;
}

/** One way in which the two sides differ; undefined where a side has nothing of this name. */
export interface Difference {
  /** `exit code`, `output`, `variable NAME` or `file PATH`, with what of the file. */
  what: string;
  docker: string | undefined;
  job: string | undefined;
}

interface FileEntry {
  type: string;
  mode: number;
  size: number;
  links: number;
  mtime: number;
  target: string;
  content: string;
}

interface Probe {
  variables: Map<string, string>;
  files: Map<string, FileEntry>;
}

// stat(2), st_mode.
const types: Record<number, string> = { 0o010000: 'pipe', 0o040000: 'directory', 0o100000: 'file', 0o120000: 'link' };

/** One character a byte, since names and values need not be UTF-8. */
function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString('latin1');
}

/** Reads what the program `probe` has printed; undefined if it is not that. */
function parseProbe(stdout: Buffer): Probe | undefined {
  const [first = '', ...lines] = stdout.toString('latin1').trimEnd().split('\n');
  const environment = /^environment (\S*)$/.exec(first)?.[1];
  if (environment === undefined) return undefined;
  const pairs = decode(environment)
    .split('\0')
    .filter((pair) => pair !== '');
  const files = lines.map((line): [string, FileEntry] => {
    const [hexMode = '', size = '', links = '', mtime = '', path = '', target = '', content = ''] = line
      .replace(/^file /, '')
      .split('|');
    const mode = Number.parseInt(hexMode, 16);
    const type = mode & 0o170000;
    return [
      decode(path),
      {
        type: types[type] ?? `type ${type.toString(8)}`,
        mode: mode & 0o7777,
        size: Number(size),
        links: Number(links),
        mtime: Number(mtime),
        target: decode(target),
        content,
      },
    ];
  });
  return {
    variables: new Map(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])),
    files: new Map(files),
  };
}

/** Everything in which a job differs from `docker run`, sorted, but for what every job has more. */
export function compareObservations(docker: Observation, job: Observation): Difference[] {
  const differences: Difference[] = [];
  const compare = (what: string, here: string | undefined, there: string | undefined) => {
    if (here !== there) differences.push({ what, docker: here, job: there });
  };
  compare('exit code', String(docker.exitCode), String(job.exitCode));
  const [here, there] = [parseProbe(docker.stdout), parseProbe(job.stdout)];
  if (!here || !there) {
    compare('output', docker.stdout.toString('latin1'), job.stdout.toString('latin1'));
    return differences;
  }
  for (const name of union(here.variables, there.variables)) {
    const value = here.variables.get(name);
    const jobValue = withoutHostLibraries(name, there.variables.get(name));
    if (value === undefined && onlyInJobs.test(name)) continue;
    if (name === 'HOSTNAME' && value !== undefined && jobValue !== undefined) continue;
    compare(`variable ${name}`, value, jobValue);
  }
  for (const path of union(here.files, there.files)) {
    const [file, jobFile] = [here.files.get(path), there.files.get(path)];
    if (!file || !jobFile) compare(`file ${path}`, file?.type, jobFile?.type);
    else compareFiles(path, file, jobFile, compare);
  }
  return differences;
}

/** A node with GPUs gives every job its own libraries, as `docker run --gpus` does; nodes of the sandbox seem to have some. */
function withoutHostLibraries(name: string, value: string | undefined): string | undefined {
  if (name !== 'LD_LIBRARY_PATH' || value === undefined) return value;
  return value === '/.singularity.d/libs' ? undefined : value.replace(/:\/\.singularity\.d\/libs$/, '');
}

function compareFiles(
  path: string,
  docker: FileEntry,
  job: FileEntry,
  compare: (what: string, docker: string, job: string) => void,
): void {
  compare(`type of ${path}`, docker.type, job.type);
  compare(`mode of ${path}`, opened(docker).toString(8), job.mode.toString(8));
  compare(`target of ${path}`, docker.target, job.target);
  compare(`content of ${path}`, docker.content, job.content);
  if (docker.type !== 'file') return;
  compare(`size of ${path}`, String(docker.size), String(job.size));
  compare(`links to ${path}`, String(docker.links), String(job.links));
  compare(`time of ${path}`, String(docker.mtime), String(job.mtime));
}

/** The mode that a file is meant to have in a job: what its owner may read or search, everybody may. */
function opened({ type, mode }: FileEntry): number {
  if (type === 'link') return mode;
  return mode | ((mode & 0o500) >> 3) | ((mode & 0o500) >> 6);
}

// Apptainer's own, SLURM's and hpcrun's; LANG unless the image sets it.
const onlyInJobs = /^(?:APPTAINER_.*|SINGULARITY_.*|PS1|PROMPT_COMMAND|LANG|SLURM.*|HPCRUN_.*|CUDA_VISIBLE_DEVICES)$/;

function union(first: Map<string, unknown>, second: Map<string, unknown>): string[] {
  return [...new Set([...first.keys(), ...second.keys()])].sort();
}
