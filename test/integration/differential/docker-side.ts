import { execa } from 'execa';
import { chmod, chown, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { CliEngine } from '../../../src/image/cli-engine.js';
import type { ImageInfo } from '../../../src/image/engine.js';
import { busyboxFiles, busyboxImage } from './busybox.js';
import type { DifferentialCase } from './cases.js';
import type { Observation } from './observation.js';

/** The ids of the cluster's user. */
const user = 1500;

const signal = new AbortController().signal;

/** Writes files into a new directory; those that begin with `#!` are programs unless their ending says otherwise. */
export async function makeDirectory(files: Record<string, string>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'hpcrun-differential-'));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
  return directory;
}

/** Makes the image that most others are made from; every later time, Docker's cache has it. */
export async function buildBusybox(): Promise<void> {
  const context = await makeDirectory(busyboxFiles);
  await execa('docker', ['build', '--quiet', '--tag', busyboxImage, context]);
  await rm(context, { recursive: true });
}

/** Builds or imports the image of a case. Images keep their names, so that the next run of the tests finds their layers. */
export async function obtainImage(engine: CliEngine, index: number, wanted: DifferentialCase): Promise<ImageInfo> {
  const isPlain = wanted.changes === undefined && wanted.dockerfile === undefined;
  const tag = isPlain ? busyboxImage : `hpcrun-test/differential:${index}`;
  if (wanted.changes) await importBusybox(tag, wanted.changes);
  else if (!isPlain) {
    const dockerfile = `FROM ${wanted.from ?? busyboxImage}\n${wanted.dockerfile}\n`;
    const context = await makeDirectory({ Dockerfile: dockerfile.replaceAll('BUSYBOX', busyboxImage) });
    const request = { dockerfile: join(context, 'Dockerfile'), context, args: wanted.buildArgs ?? {}, tag };
    await engine.build(request, { signal });
    await rm(context, { recursive: true });
  }
  const info = await engine.inspect(tag, { signal });
  if (!info) throw new Error(`there is no image ${tag}`);
  return info;
}

async function importBusybox(tag: string, changes: string[]): Promise<void> {
  const { stdout: container } = await execa('docker', ['create', busyboxImage, 'true']);
  try {
    const exported = execa('docker', ['export', container], { buffer: false, encoding: 'buffer' });
    await exported.pipe('docker', ['import', ...changes.flatMap((change) => ['--change', change]), '-', tag]);
  } finally {
    await execa('docker', ['rm', container]);
  }
}

/** Runs the case as a user of Docker would, with a copy of the project. */
export async function runInDocker(image: string, wanted: DifferentialCase, project: string): Promise<Observation> {
  const copy = await mkdtemp(join(tmpdir(), 'hpcrun-differential-'));
  try {
    await cp(project, copy, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
    await execa('chown', ['-R', '-h', `${user}:${user}`, copy]);
    const { entrypoint, argv } = dockerArguments(wanted);
    const variables = Object.entries(wanted.variables ?? {}).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
    const result = await execa(
      'docker',
      [
        ...['run', '--rm', '--network', 'none', '--user', `${user}:${user}`, '--volume', `${copy}:/workspace`],
        ...(wanted.inImageDirectory ? [] : ['--workdir', '/workspace']),
        ...(entrypoint === undefined ? [] : ['--entrypoint', entrypoint]),
        ...(wanted.dockerOptions ?? []),
        ...variables,
        image,
        ...argv,
      ],
      { reject: false, stdin: 'ignore', encoding: 'buffer', stripFinalNewline: false },
    );
    return { exitCode: result.exitCode ?? -1, stdout: Buffer.from(result.stdout) };
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

function dockerArguments({ run = { kind: 'probe' } }: DifferentialCase): { entrypoint?: string; argv: string[] } {
  switch (run.kind) {
    case 'probe':
      return { entrypoint: 'sh', argv: ['/bin/probe'] };
    case 'image':
      return { argv: [] };
    case 'command':
      return { argv: run.argv };
    case 'script':
      return { argv: run.dockerArgv };
  }
}

/** The project that every run is given. */
export async function makeDockerProject(): Promise<string> {
  const project = await makeDirectory({
    'script.sh': `printf '[%s]' "$@" from script.sh in "$(pwd)"\n`,
    'script.py': 'import os, sys, own_module\nprint(sys.argv, own_module.word, os.getcwd(), sys.flags.no_user_site)\n',
    program: '#!/bin/sh\necho "$0" "$@"\n',
    'directory/file': 'x\n',
  });
  await chmod(join(project, 'program'), 0o755);
  await chmod(project, 0o755);
  await execa('ln', ['-s', 'nowhere', join(project, 'broken-link')]);
  await chown(project, user, user);
  return project;
}
