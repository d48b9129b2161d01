import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { archiveEnd, farStatus, type FarBuild } from '../../../src/run/conversion/build-functions.js';
import { renderBuildJob, renderJobBuild } from '../../../src/run/conversion/job-build.js';
import { renderLoginBuild } from '../../../src/run/conversion/login-build.js';
import { findProgram, runShell } from '../../support/shell.js';
import { makeTemporaryDirectory } from '../../support/temporary-directory.js';

const shells = ['dash', 'bash'].filter((name) => findProgram(name) !== undefined);

/** A far side with programs that only say what they were told; the real ones are in the integration tests. */
async function makeFarSide(programs: Record<string, string>) {
  const directory = await makeTemporaryDirectory();
  const bin = join(directory, 'bin');
  mkdirSync(bin);
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}`);
    chmodSync(join(bin, name), 0o755);
  }
  const root = join(directory, 'root with a blank');
  const build: FarBuild = {
    id: '0123456789abcdef',
    layout: { root, images: join(root, 'images') },
    modules: [],
    compression: 'gzip',
  };
  const run = (shell: string, script: string, input: string) =>
    runShell(shell, script, { env: { PATH: `${bin}:${process.env.PATH ?? ''}` }, input });
  const conversions = join(root, 'conversions');
  return { directory, root, conversions, build, run };
}

// Says which options it knows, and builds a file of what it was given.
const apptainer = `case $1 in
  build)
    if [ "$2" = --help ]; then echo '--disable-cache --fix-perms --no-https'; exit 0; fi
    shift
    echo "INFO:    Starting build..."
    printf '%s\\n' "$@" "tmp $APPTAINER_TMPDIR" "cache $SINGULARITY_CACHEDIR" "user \${APPTAINER_DOCKER_USERNAME-}" "password \${APPTAINER_DOCKER_PASSWORD-}"
    mkdir -p "$APPTAINER_TMPDIR/rootfs/closed" && chmod 500 "$APPTAINER_TMPDIR/rootfs/closed"
    while [ "$#" -gt 2 ]; do shift; done
    if [ -n "\${FAIL-}" ]; then echo "FATAL:   it broke" >&2; exit 255; fi
    echo sif >"$1" ;;
  sif) echo 'FS (Squashfs/*System/amd64)' ;;
esac
`;
const sum = createHash('sha256').update('sif\n').digest('hex');

describe.for(shells)('a build on the login node, under %s', (shell) => {
  it('stores what Apptainer makes of the archive, read-only, and removes everything else', async () => {
    const { build, root, conversions, run } = await makeFarSide({ apptainer });
    const result = run(shell, renderLoginBuild(build, { kind: 'archive' }), `tar${archiveEnd}`);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(result.stdout).toMatch(new RegExp(`stored ${sum} 4\\n$`));
    expect(readdirSync(join(root, 'images'))).toEqual([`${sum}.sif`]);
    expect(statSync(join(root, 'images', `${sum}.sif`)).mode & 0o777).toBe(0o440);
    expect(readdirSync(conversions)).toEqual([]);
  });

  it('refuses an archive that is cut short, and never builds from it', async () => {
    const { build, conversions, run } = await makeFarSide({ apptainer });
    const script = renderLoginBuild(build, { kind: 'archive' });
    for (const input of ['', 'tar', `tar${archiveEnd.slice(0, -1)}`]) {
      const result = run(shell, script, input);
      expect(result.status).toBe(farStatus.incomplete);
      expect(result.stdout).toBe('');
      expect(readdirSync(conversions)).toEqual([]);
    }
  });

  it('hands on the words and the status of a build that fails', async () => {
    const { build, root, conversions, run } = await makeFarSide({ apptainer: `FAIL=1\n${apptainer}` });
    const result = run(shell, renderLoginBuild(build, { kind: 'archive' }), `tar${archiveEnd}`);
    expect(result.status).toBe(farStatus.buildFailed);
    expect(result.stdout).toMatch(/failed 255\n$/);
    expect(result.stderr).toContain('FATAL:   it broke');
    // Away from the home directory and /tmp, whatever the program is called.
    expect(result.stderr).toContain(`tmp ${conversions}/${build.id}/tmp`);
    expect(result.stderr).toContain(`cache ${conversions}/${build.id}/cache`);
    expect(readdirSync(conversions)).toEqual([]);
    expect(readdirSync(join(root, 'images'))).toEqual([]);
  });

  it('gives a registry the login that comes on standard input, and only options this release knows', async () => {
    const { build, run } = await makeFarSide({ apptainer: `FAIL=1\n${apptainer}` });
    const reference = 'registry:5000/hpcrun@sha256:00';
    const source = { kind: 'registry', reference, insecure: true, hasCredentials: true } as const;
    const result = run(shell, renderLoginBuild(build, source), 'ada\n pass\\word \n');
    expect(result.stderr).toContain('user ada\n');
    expect(result.stderr).toContain('password  pass\\word \n');
    expect(result.stderr).toContain(`docker://${reference}\n`);
    expect(result.stderr).toContain('--no-https\n');
    expect(result.stderr).not.toContain('--nohttps');
    expect(result.stderr).not.toContain('--mksquashfs-args');
  });

  it('removes what killed conversions have left, and leaves the living alone', async () => {
    const { build, conversions, run } = await makeFarSide({ apptainer });
    const make = (name: string, owner: string) => {
      mkdirSync(join(conversions, name, 'rootfs'), { recursive: true });
      writeFileSync(join(conversions, name, 'owner'), `${owner}\n`);
      chmodSync(join(conversions, name, 'rootfs'), 0o500);
    };
    make('dead', `${hostname()} 4194305`);
    make('living', `${hostname()} ${process.pid}`);
    make('elsewhere', 'another-host 4194305');
    run(shell, renderLoginBuild(build, { kind: 'archive' }), `tar${archiveEnd}`);
    expect(readdirSync(conversions).sort()).toEqual(['elsewhere', 'living']);
  });

  it('says that there is no Apptainer before anything is sent', async () => {
    const { build, root, run } = await makeFarSide({});
    const result = run(shell, renderLoginBuild(build, { kind: 'archive' }), '');
    expect(result.status).toBe(farStatus.noApptainer);
    expect(existsSync(root)).toBe(false);
  });
});

describe('a build as a job', () => {
  const job = (build: FarBuild) => ({
    ...build,
    layout: { root: '/scratch/ada', images: '/scratch/ada/images' },
    resources: { cpus: 8, memory: '16G', time: 7200, partition: 'devel', account: 'ml' },
    pollSeconds: 1,
  });

  it('asks for the resources it is given and stays below the root', async () => {
    const { build } = await makeFarSide({});
    const lines = renderBuildJob(job(build)).split('\n');
    expect(lines.filter((line) => line.startsWith('#SBATCH'))).toEqual([
      '#SBATCH --job-name=hpcrun-convert',
      '#SBATCH --comment=hpcrun-convert:0123456789abcdef',
      '#SBATCH --output=/scratch/ada/conversions/0123456789abcdef/job.log',
      '#SBATCH --open-mode=append',
      '#SBATCH --chdir=/scratch/ada/conversions/0123456789abcdef',
      '#SBATCH --nodes=1',
      '#SBATCH --ntasks=1',
      '#SBATCH --cpus-per-task=8',
      '#SBATCH --mem=16G',
      '#SBATCH --time=0-02:00:00',
      '#SBATCH --partition=devel',
      '#SBATCH --account=ml',
    ]);
  });

  it.for(shells)('runs the job, waits for its answer and hands it on, under %s', async (shell) => {
    // A controller that starts the job at once.
    const programs = {
      apptainer,
      sbatch: `setsid bash "$2" >/dev/null 2>&1 </dev/null & echo '7;cluster'`,
      squeue: `echo 'RUNNING None'`,
      scancel: '',
    };
    const { build, root, conversions, run } = await makeFarSide(programs);
    const spaceless = { ...job(build), layout: { root: root.replaceAll(' ', '-'), images: join(root, 'images') } };
    const result = run(shell, renderJobBuild(spaceless), `tar${archiveEnd}`);
    expect(result.stderr).toBe('');
    expect(result.stdout).toMatch(new RegExp(`stored ${sum} 4\\n$`));
    expect(readFileSync(join(root, 'images', `${sum}.sif`), 'utf8')).toBe('sif\n');
    expect(readdirSync(conversions.replaceAll(' ', '-'))).toEqual([]);
  });

  it.for(shells)('hands on what sbatch says when it refuses, under %s', async (shell) => {
    const programs = { sbatch: 'echo "invalid partition" >&2; exit 1', squeue: '', scancel: '' };
    const { build, root, run } = await makeFarSide(programs);
    const spaceless = { ...job(build), layout: { root: root.replaceAll(' ', '-'), images: join(root, 'images') } };
    const result = run(shell, renderJobBuild(spaceless), `tar${archiveEnd}`);
    expect(result).toMatchObject({ status: farStatus.refused, stderr: 'invalid partition\n' });
  });
});
