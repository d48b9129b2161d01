import { splitEnvironment } from './container-metadata.js';
import type { ImageInfo } from './engine.js';
import type { ParityFinding, ParityInput } from './parity.js';
import type { RootfsSurvey } from './rootfs-survey.js';

/** What the image's configuration asks for and a job does not have. */
export function findConfigurationDifferences(
  info: Pick<ImageInfo, 'user' | 'volumes' | 'ports' | 'healthcheck' | 'environment'>,
  { filledVolumes }: Pick<RootfsSurvey, 'filledVolumes'>,
): ParityFinding[] {
  const findings: ParityFinding[] = [];
  if (!['', '0', 'root'].includes(info.user.replace(/:.*/s, '')))
    findings.push({
      code: 'USER',
      severity: 'note',
      differs: `USER ${info.user} does not apply.`,
      done: 'The job runs as you, with your own user and groups.',
    });
  const emptyVolumes = info.volumes.filter((path) => !filledVolumes.includes(path));
  if (emptyVolumes.length > 0)
    findings.push({
      code: 'VOLUME',
      severity: 'note',
      differs: `VOLUME ${emptyVolumes.join(' ')}: no volume outlives a job.`,
      done: 'Each is an empty, writable directory on the node, gone when the job ends.',
      advice: 'To keep what is written there, bind a directory of the cluster (binds in hpcrun.yaml).',
    });
  if (filledVolumes.length > 0)
    findings.push({
      code: 'VOLUME',
      severity: 'warning',
      differs: `VOLUME ${filledVolumes.join(' ')}: Docker would copy what the image has there into a volume.`,
      done: 'The files stay as they are in the image; changes are gone when the job ends, and there is little room for them.',
      advice: 'To write more than a little there, bind a directory of the cluster (binds in hpcrun.yaml).',
    });
  if (info.ports.length > 0)
    findings.push({
      code: 'EXPOSE',
      severity: 'note',
      differs: `EXPOSE ${info.ports.join(' ')}: ports are not mapped.`,
      done: "The job has the node's own network: a server is reached at the node's name and the port it listens on.",
      advice: 'Choose a port above 1023 that nobody else on the node uses, and protect it with a password.',
    });
  if (info.healthcheck.length > 0)
    findings.push({
      code: 'HEALTHCHECK',
      severity: 'note',
      differs: 'HEALTHCHECK is not run.',
      done: 'SLURM goes by the exit status and the time limit alone.',
    });
  const { dockerOnly } = splitEnvironment(info);
  if (dockerOnly.length > 0)
    findings.push({
      code: 'ENV_NAMES',
      severity: 'warning',
      differs: `ENV ${dockerOnly.join(' ')}: only Docker can set variables of such names.`,
      done: 'They are left out.',
      advice: 'Use names of letters, digits and underscores.',
    });
  return findings;
}

/** What is different about the image's files. */
export function findFileDifferences({
  survey,
  permissions,
}: Pick<ParityInput, 'survey' | 'permissions'>): ParityFinding[] {
  const { closed, setuid, capabilities, foreign, devices } = survey;
  const findings: ParityFinding[] = [];
  if (!survey.hasShell)
    findings.push({
      code: 'NO_SHELL',
      severity: 'warning',
      differs: 'The image has no /bin/sh.',
      done: 'The command is started without a shell, as in Docker.',
      advice: 'Name a program of the image as the command; scripts of shell commands do not run.',
    });
  if (closed.count > 0)
    findings.push({
      code: 'ROOT_FILES',
      severity: permissions === 'open' ? 'note' : 'warning',
      differs: `Only the owner may read ${count(closed, 'file or directory', 'files or directories')}, and a job is not root.`,
      ...(permissions === 'open'
        ? {
            done: 'They are opened: who can read the SIF can read them.',
            advice: 'Keep secrets out of images. With image: {permissions: keep}, nothing is opened.',
          }
        : {
            done: 'They are kept like that (permissions: keep): the job cannot read them.',
            advice: 'Run chmod a+rX on them in the Dockerfile, or set image: {permissions: open}.',
          }),
    });
  if (setuid.count > 0)
    findings.push({
      code: 'SETUID',
      severity: 'note',
      differs: `Setuid and setgid have no effect: ${count(setuid, 'program', 'programs')}.`,
      done: 'They run with your own rights; sudo and su do not work.',
    });
  if (capabilities.count > 0)
    findings.push({
      code: 'CAPABILITIES',
      severity: 'note',
      differs: `File capabilities have no effect: ${count(capabilities, 'program', 'programs')}.`,
      done: 'They run with your own rights.',
    });
  if (foreign.count > 0)
    findings.push({
      code: 'OWNERS',
      severity: 'note',
      differs: `Other users than root own ${count(foreign, 'entry', 'entries')}.`,
      done: 'In the SIF all belong to root: what only the owner may write, the job cannot.',
      advice: 'Let programs write to the working directory, /tmp or $HOME.',
    });
  if (devices.count > 0)
    findings.push({
      code: 'DEVICES',
      severity: 'note',
      differs: `Device nodes of the image cannot be opened: ${count(devices, 'node', 'nodes')}.`,
      done: "The job has a /dev of its own, with the node's GPUs.",
    });
  return findings;
}

/** How many, with the first of them. */
function count(tally: RootfsSurvey['closed'], singular: string, plural: string): string {
  const shown = tally.samples.slice(0, 3).join(', ');
  return `${tally.count} ${tally.count === 1 ? singular : plural} (${shown}${tally.count > 3 ? ', …' : ''})`;
}
