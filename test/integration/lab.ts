import { execa } from 'execa';
import { cp, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { inject } from 'vitest';
import { packageDirectory } from '../../src/package-directory.js';

export const binPath = join(packageDirectory(), 'bin', 'hpcrun.js');

/** The sandbox of the tests; another name lets a second checkout be tested on the same machine at the same time. */
export const testSandboxName = process.env.HPCRUN_TEST_SANDBOX ?? 'hpcrun-test';
export const loginContainer = `${testSandboxName}-login`;
export const farRoot = '/home/researcher/hpcrun';

/** A small image with Python in it; all test projects share it. */
export const pythonDockerfile = `ARG BASE_IMAGE=debian:trixie-slim
FROM \${BASE_IMAGE}
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
`;

export interface CommandResult {
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
  /** The objects of `--json`, from standard output. */
  objects: Record<string, unknown>[];
}

interface LabOptions {
  cwd: string;
  env?: Record<string, string>;
}

/** Starts the built hpcrun with the tests' own directories and sandbox. */
export function startHpcrun(args: string[], { cwd, env = {} }: LabOptions) {
  const variables = { ...inject('labEnvironment'), CI: '1', ...env };
  return execa('node', [binPath, ...args], { cwd, reject: false, stdin: 'ignore', env: variables });
}

export async function hpcrun(args: string[], options: LabOptions): Promise<CommandResult> {
  const { exitCode, stdout, stderr } = await startHpcrun(args, options);
  const objects = args.includes('--json')
    ? stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    : [];
  return { exitCode, stdout, stderr, objects };
}

/** Makes a project directory from file names and contents. */
export async function makeProject(files: Record<string, string>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `${testSandboxName}-project-`));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
  return directory;
}

/** A project on the shared Python image, for the sandbox. */
export async function makePythonProject(files: Record<string, string>): Promise<string> {
  return await makeProject({ Dockerfile: pythonDockerfile, 'hpcrun.yaml': 'cluster: sandbox\n', ...files });
}

export async function copyExample(name: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `${testSandboxName}-example-`));
  await cp(join(packageDirectory(), 'examples', name), directory, { recursive: true });
  return directory;
}

/** Runs a shell script in the login container, as the cluster's user or as root. */
export async function onLogin(script: string, user = 'researcher'): Promise<string> {
  const { stdout } = await execa('docker', ['exec', '--user', user, loginContainer, 'sh', '-c', script]);
  return stdout;
}

/** Where it stands how a sandbox of the tests is reached. */
export function sandboxClusterPath(name: string): string {
  const { XDG_STATE_HOME = '' } = inject('labEnvironment');
  return join(XDG_STATE_HOME, 'hpcrun', 'sandboxes', name, 'cluster.json');
}

/** The tests' sandbox, or another one of theirs, as its cluster file describes it, to make other clusters of. */
export async function sandboxCluster(
  name = testSandboxName,
): Promise<{ port: number; identityFile: string; knownHostsFile: string }> {
  const text = await readFile(sandboxClusterPath(name), 'utf8');
  return JSON.parse(text) as { port: number; identityFile: string; knownHostsFile: string };
}

/** The error object of `--json` on standard error. */
export function errorOf({ stderr }: CommandResult): { code: string; message: string; hint: string } {
  const line = stderr.split('\n').find((text) => text.startsWith('{'));
  return JSON.parse(line ?? '{}') as { code: string; message: string; hint: string };
}

/** Gives an empty state directory the sandbox's cluster file and key, and nothing else the first laptop knows. */
export async function copySandboxKey(stateHome: string): Promise<void> {
  const { XDG_STATE_HOME = '' } = inject('labEnvironment');
  await cp(join(XDG_STATE_HOME, 'hpcrun', 'sandboxes'), join(stateHome, 'hpcrun', 'sandboxes'), { recursive: true });
}
