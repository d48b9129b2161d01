import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from '../../errors.js';

/** What of a project's own files says how it should run. */
export interface ProjectLook {
  /** Relative to the project; undefined if there is none. */
  dockerfile: string | undefined;
  /** Whether something in it is for GPUs. */
  wantsGpus: boolean;
}

const gpuWords =
  /\b(?:cuda|nvidia|rocm|torch|pytorch|tensorflow|jax|flax|cupy|vllm|transformers|lightning)\b|cudnn|cu1\d\d/i;

// Where people write down what they need.
const requirementFiles = [
  'requirements.txt',
  'pyproject.toml',
  'environment.yml',
  'environment.yaml',
  'setup.py',
  'Pipfile',
];

/** Looks for the Dockerfile, under its usual names, and for libraries that want a GPU. */
export async function lookAtProject(directory: string): Promise<ProjectLook> {
  const dockerfile = await findDockerfile(directory);
  const texts = await Promise.all(
    [...(dockerfile === undefined ? [] : [dockerfile]), ...requirementFiles].map((name) =>
      readText(join(directory, name)),
    ),
  );
  return { dockerfile, wantsGpus: texts.some((text) => gpuWords.test(text)) };
}

async function findDockerfile(directory: string): Promise<string | undefined> {
  const here = await listFiles(directory);
  const below = (
    await Promise.all(
      ['docker', '.docker', 'container'].map(async (name) =>
        (await listFiles(join(directory, name))).map((file) => `${name}/${file}`),
      ),
    )
  ).flat();
  const files = [...here, ...below];
  const isExactly = (name: string) => (path: string) => path.split('/').at(-1) === name;
  return (
    files.find(isExactly('Dockerfile')) ??
    files.find(isExactly('Containerfile')) ??
    files.find((path) => /(?:^|\/)Dockerfile\.(?!dockerignore$)[^/]+$|\.[Dd]ockerfile$/.test(path))
  );
}

async function listFiles(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile() || entry.isSymbolicLink())
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return '';
    throw error;
  }
}
