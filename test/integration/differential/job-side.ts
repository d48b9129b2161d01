import { execa } from 'execa';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RemoteLayout } from '../../../src/cluster/layout.js';
import { resolveContainerCommand } from '../../../src/image/container-command.js';
import type { CliEngine } from '../../../src/image/cli-engine.js';
import { convertImage } from '../../../src/image/convert.js';
import type { ImageInfo } from '../../../src/image/engine.js';
import type { RootfsSurvey } from '../../../src/image/rootfs-survey.js';
import { renderEnvironment } from '../../../src/run/submission.js';
import { renderJobScript } from '../../../src/slurm/job-script.js';
import { loadTemplate, type Template } from '../../../src/slurm/templates.js';
import { loginContainer } from '../lab.js';
import type { DifferentialCase } from './cases.js';
import type { Observation } from './observation.js';

const farDirectory = '/home/researcher/differential';
const timeoutSeconds = 240;

/** An image in the batch. */
export interface Sif {
  name: string;
  sizeBytes: number;
  survey: RootfsSurvey;
}

interface PreparedRun {
  wanted: DifferentialCase;
  info: ImageInfo;
  sif: Sif;
}

/** Runs of many images, sent to the cluster in one piece and submitted in one command. */
export class JobBatch {
  private constructor(
    private readonly directory: string,
    private readonly layout: RemoteLayout,
  ) {}

  static async make(): Promise<JobBatch> {
    const directory = await mkdtemp(join(tmpdir(), 'hpcrun-differential-'));
    await mkdir(join(directory, 'images'));
    return new JobBatch(directory, new RemoteLayout(farDirectory));
  }

  /** Converts the image as `hpcrun submit` does. */
  async convert(engine: CliEngine, info: ImageInfo): Promise<Sif> {
    const name = info.id.replace(/^sha256:/, '');
    const path = join(this.directory, 'images', `${name}.sif`);
    const { sizeBytes, survey } = await convertImage(engine, info, path, {
      compression: 'zstd',
      permissions: 'open',
      signal: new AbortController().signal,
    });
    // Found by the image's id, so that rows with the same image share a file.
    return { name, sizeBytes, survey };
  }

  /** Writes what `hpcrun submit` would send for each run, submits all and waits for them. */
  async run(runs: PreparedRun[], project: string): Promise<Observation[]> {
    const template = await loadTemplate('single');
    for (const [index, run] of runs.entries()) await this.prepare(index, run, template, project);
    await execa(
      'sh',
      ['-c', 'tar -C "$1" -c . | docker exec -i --user researcher "$2" sh -c "$3"', 'sh'].concat(
        this.directory,
        loginContainer,
        `rm -rf ${farDirectory} && mkdir ${farDirectory} && tar -C ${farDirectory} -xf -`,
      ),
    );
    await this.onLogin(
      // What the submitting shell has must not come through.
      `umask 077; export LEAK=host TERM=xterm PYTHONPATH=/host LD_LIBRARY_PATH=/host LANG=de_DE.UTF-8 HOSTNAME=host CONDA_PREFIX=/host
       for script in ${farDirectory}/runs/*/job.sbatch; do sbatch --parsable "$script" </dev/null || exit 1; done
       for tenth in $(seq ${timeoutSeconds * 5}); do
         [ "$(ls ${farDirectory}/runs/*/state/exit 2>/dev/null | wc -l)" -lt ${runs.length} ] || exit 0
         sleep 0.2
       done
       for run in ${farDirectory}/runs/*; do [ -e "$run/state/exit" ] || { echo "$run"; tail "$run"/logs/*; } >&2; done
       exit 1`,
    );
    await execa('sh', [
      '-c',
      'docker exec "$1" tar -C "$2" -c runs | tar -C "$3" -x',
      'sh',
      loginContainer,
      farDirectory,
      this.directory,
    ]);
    const observations = await Promise.all(runs.map((_, index) => this.collect(index)));
    await this.onLogin(`rm -rf ${farDirectory}`);
    return observations;
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  private async prepare(index: number, { wanted, info, sif }: PreparedRun, template: Template, project: string) {
    const runId = `run-${index}`;
    const here = join(this.directory, 'runs', runId);
    const there = this.layout.run(runId);
    await mkdir(join(here, 'logs'), { recursive: true });
    await mkdir(join(here, 'state'));
    await execa('cp', ['-a', project, join(here, 'work')]);
    const script = renderJobScript(template, {
      runId,
      head: { name: runId, comment: runId, logPath: there.log, workingDirectory: there.work, resources: {} },
      runDirectory: there.directory,
      imagePath: this.layout.image(sif.name),
      imageBytes: String(sif.sizeBytes),
      volumes: info.volumes.filter((path) => !sif.survey.filledVolumes.includes(path)),
      binds: [],
      mount: '/workspace',
      containerDirectory: wanted.inImageDirectory ? info.workingDirectory : '/workspace',
      modules: [],
      command: commandOf(wanted, info),
      hpcrunVersion: 'test',
    });
    // Docker's two streams come apart; the job's log is one.
    const apart = script.replace(/^#SBATCH --output=.*$/m, `$&\n#SBATCH --error=${there.directory}/logs/errors.log`);
    await writeFile(join(here, 'job.sbatch'), apart);
    await writeFile(join(here, 'env'), renderEnvironment(wanted.variables ?? {}));
  }

  private async collect(index: number): Promise<Observation> {
    const run = join(this.directory, 'runs', `run-${index}`);
    const exitCode = Number(await readFile(join(run, 'state', 'exit'), 'utf8'));
    return { exitCode, stdout: await readFile(join(run, 'logs', 'job.log')) };
  }

  private async onLogin(script: string): Promise<void> {
    await execa('docker', ['exec', '--user', 'researcher', loginContainer, 'sh', '-c', script]);
  }
}

function commandOf({ run = { kind: 'probe' } }: DifferentialCase, info: ImageInfo): string[] {
  switch (run.kind) {
    case 'probe':
      return ['sh', '/bin/probe'];
    case 'image':
    case 'command':
      return resolveContainerCommand(run, info);
    case 'script':
      return resolveContainerCommand({ ...run, isExecutable: false }, info);
  }
}
