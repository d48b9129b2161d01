import { splitEnvironment } from './container-metadata.js';
import { compareVersions, cudaOfEnvironment, cudaSupport, type CudaEvidence } from './cuda.js';
import type { ImageInfo } from './engine.js';
import type { RootfsSurvey } from './rootfs-survey.js';

export type ParityCode =
  | 'ARCHITECTURE'
  | 'CAPABILITIES'
  | 'CUDA_DRIVER'
  | 'DEVICES'
  | 'ENV_NAMES'
  | 'EXPOSE'
  | 'HEALTHCHECK'
  | 'HOME'
  | 'HOST_NETWORK'
  | 'KERNEL_TOO_OLD'
  | 'NO_SHELL'
  | 'NOT_ROOT'
  | 'OWNERS'
  | 'READ_ONLY'
  | 'ROOT_FILES'
  | 'SETUID'
  | 'USER'
  | 'VARIABLES'
  | 'VOLUME';

/** Something that is not in a job as it is in `docker run`. */
export interface ParityFinding {
  code: ParityCode;
  /** An error makes the job fail for certain; a warning may; a note is good to know. */
  severity: 'note' | 'warning' | 'error';
  differs: string;
  /** What hpcrun does about it. */
  done: string;
  /** What the user can do. */
  advice?: string;
}

export interface ParityInput {
  info: ImageInfo;
  survey: RootfsSurvey;
  permissions: 'open' | 'keep';
  /** What is known of the node that the job runs on. */
  node?: {
    /** Go's name. */
    architecture?: string;
    /** As `uname -r` prints it. */
    kernel?: string;
    /** The highest CUDA version that the driver supports, such as `12.4`. */
    cudaDriver?: string;
  };
}

/** What an image's job does not have of what `docker run` gives, the gravest first. */
export function reportParity(input: ParityInput): ParityFinding[] {
  const findings = [...nodeFindings(input), ...configurationFindings(input.info, input.survey), ...fileFindings(input)];
  return [...findings].sort((first, second) => rank(first) - rank(second));
}

function rank({ severity }: ParityFinding): number {
  return ['error', 'warning', 'note'].indexOf(severity);
}

function nodeFindings({ info, survey, node = {} }: ParityInput): ParityFinding[] {
  return [
    ...architectureFindings(info, survey, node.architecture),
    ...kernelFindings(survey, node.kernel),
    ...cudaFindings([...cudaOfEnvironment(info.environment), ...survey.cuda], node.cudaDriver),
  ];
}

function architectureFindings(info: ImageInfo, survey: RootfsSurvey, node: string | undefined): ParityFinding[] {
  const content = survey.architecture;
  const wanted = node ?? info.architecture;
  const labelDiffers = info.architecture !== wanted;
  const contentDiffers = content !== undefined && !runsOn(content, wanted);
  if (!labelDiffers && !contentDiffers) return [];
  const what = contentDiffers ? `programs for ${content}` : `an image for ${info.architecture}`;
  const isMislabelled = content !== undefined && !runsOn(content, info.architecture);
  const label = isMislabelled ? `, although it says that it is for ${info.architecture}` : '';
  return [
    {
      code: 'ARCHITECTURE',
      severity: 'error',
      differs: `The image holds ${what}${label}${node === undefined ? '' : `; the node is ${node}`}.`,
      done: 'Nothing: no program of it would start ("exec format error").',
      advice: isMislabelled
        ? `Look for a FROM --platform or a base image in the Dockerfile that is not for ${wanted}.`
        : `Build it for the node: image: {platform: linux/${wanted}} in hpcrun.yaml.`,
    },
  ];
}

/** 64-bit x86 runs 32-bit programs. */
function runsOn(content: string, node: string): boolean {
  return content === node || (content === '386' && node === 'amd64');
}

function kernelFindings({ minimumKernel }: RootfsSurvey, kernel: string | undefined): ParityFinding[] {
  const running = /^\d+(?:\.\d+)*/.exec(kernel ?? '')?.[0];
  if (minimumKernel === undefined || running === undefined || compareVersions(minimumKernel, running) <= 0) return [];
  return [
    {
      code: 'KERNEL_TOO_OLD',
      severity: 'error',
      differs: `The image's C library needs Linux ${minimumKernel} or newer; the node runs ${running}.`,
      done: 'Nothing: every program of it would end with "FATAL: kernel too old".',
      advice: 'Use an older base image, such as the release of your distribution that was current with that kernel.',
    },
  ];
}

function cudaFindings(evidence: CudaEvidence[], driver: string | undefined): ParityFinding[] {
  if (driver === undefined) return [];
  const [newest] = [...evidence].sort((first, second) => compareVersions(second.version, first.version));
  if (!newest) return [];
  const support = cudaSupport(newest.version, driver);
  if (support === 'full') return [];
  const isAllTooNew = evidence.every(({ version }) => cudaSupport(version, driver) === 'none');
  const differs = `The image brings CUDA ${newest.version} (${newest.source}); the node's driver supports up to ${driver}.`;
  if (support === 'limited') {
    return [
      {
        code: 'CUDA_DRIVER',
        severity: 'warning',
        differs,
        done: 'Nothing: a driver runs newer CUDA of the same major version, but code compiled at run time (PTX) fails.',
        advice: `If the job says "unsupported toolchain", use a base image or wheels for CUDA ${driver} or older.`,
      },
    ];
  }
  return [
    {
      code: 'CUDA_DRIVER',
      severity: isAllTooNew ? 'error' : 'warning',
      differs,
      done: 'Nothing: programs built with it find no usable GPU ("CUDA driver version is insufficient").',
      advice: `Use a base image or wheels for CUDA ${driver} or older, or partitions whose nodes have a newer driver.`,
    },
  ];
}

function configurationFindings(info: ImageInfo, survey: RootfsSurvey): ParityFinding[] {
  const findings: ParityFinding[] = [];
  if (!['', '0', 'root'].includes(info.user.replace(/:.*/s, '')))
    findings.push({
      code: 'USER',
      severity: 'note',
      differs: `USER ${info.user} does not apply.`,
      done: 'The job runs as you, with your own user and groups.',
      advice: 'Let programs write only below the working directory, /tmp or $HOME.',
    });
  const [filled, empty] = [survey.filledVolumes, info.volumes.filter((path) => !survey.filledVolumes.includes(path))];
  if (empty.length > 0)
    findings.push({
      code: 'VOLUME',
      severity: 'note',
      differs: `VOLUME ${empty.join(' ')}: there are no volumes that outlive a container.`,
      done: 'Each becomes an empty writable directory on the node that goes with the job.',
      advice: 'Bind a directory of the cluster there to keep what is written (binds).',
    });
  if (filled.length > 0)
    findings.push({
      code: 'VOLUME',
      severity: 'warning',
      differs: `VOLUME ${filled.join(' ')}: Docker would copy what the image has there into a writable volume.`,
      done: 'The files stay as they are in the image; what a job changes there is lost at its end, and room is small.',
      advice: 'Bind a directory of the cluster there if the job writes more than a little (binds).',
    });
  if (info.ports.length > 0)
    findings.push({
      code: 'EXPOSE',
      severity: 'note',
      differs: `EXPOSE ${info.ports.join(' ')}: ports are not mapped.`,
      done: "The job uses the node's own network: a server is reached at the node's name, at the port it listens on.",
      advice: 'Choose a port above 1023 that nobody else on the node uses, and protect it with a password.',
    });
  if (info.healthcheck.length > 0)
    findings.push({
      code: 'HEALTHCHECK',
      severity: 'note',
      differs: 'HEALTHCHECK is not run.',
      done: 'SLURM watches over the job by its exit status and time limit alone.',
    });
  const { dockerOnly } = splitEnvironment(info);
  if (dockerOnly.length > 0)
    findings.push({
      code: 'ENV_NAMES',
      severity: 'warning',
      differs: `ENV ${dockerOnly.join(' ')}: no shell can set variables of such names.`,
      done: 'They are left out.',
      advice: 'Use names of letters, digits and underscores.',
    });
  return findings;
}

function fileFindings({ survey, permissions }: ParityInput): ParityFinding[] {
  const findings: ParityFinding[] = [];
  if (!survey.hasShell)
    findings.push({
      code: 'NO_SHELL',
      severity: 'warning',
      differs: 'The image has no /bin/sh.',
      done: 'Commands start without a shell, as in Docker.',
      advice: 'Give the command as a list of words, and its program by a path that is in the image.',
    });
  if (survey.closed.count > 0)
    findings.push(
      permissions === 'open'
        ? {
            code: 'ROOT_FILES',
            severity: 'note',
            differs: `${count(survey.closed, 'file or directory', 'files and directories')} only the owner may read: the job is not root.`,
            done: 'Everybody who can read the SIF may read them.',
            advice: 'Keep secrets out of images. With image: {permissions: keep}, nothing is opened.',
          }
        : {
            code: 'ROOT_FILES',
            severity: 'warning',
            differs: `${count(survey.closed, 'file or directory', 'files and directories')} only the owner may read: the job is not root.`,
            done: 'They are kept that way (permissions: keep), so the job cannot read them.',
            advice: 'Give read permission in the Dockerfile with chmod a+rX, or set image: {permissions: open}.',
          },
    );
  if (survey.setuid.count > 0)
    findings.push({
      code: 'SETUID',
      severity: 'note',
      differs: `${count(survey.setuid, 'setuid or setgid program', 'setuid or setgid programs')} give no privileges.`,
      done: 'They run with your own rights: sudo and su do not work.',
    });
  if (survey.capabilities.count > 0)
    findings.push({
      code: 'CAPABILITIES',
      severity: 'note',
      differs: `${count(survey.capabilities, 'program', 'programs')} with file capabilities get none of them.`,
      done: 'They run with your own rights.',
    });
  if (survey.foreign.count > 0)
    findings.push({
      code: 'OWNERS',
      severity: 'note',
      differs: `${count(survey.foreign, 'entry', 'entries')} owned by other users than root.`,
      done: 'In the SIF all belong to root: what their owner could write, the job cannot.',
      advice: 'Let programs write below the working directory, /tmp or $HOME instead.',
    });
  if (survey.devices.count > 0)
    findings.push({
      code: 'DEVICES',
      severity: 'note',
      differs: `${count(survey.devices, 'device node', 'device nodes')} outside of /dev cannot be opened.`,
      done: "The job sees the node's own /dev, GPUs among it.",
    });
  return findings;
}

/** How many, with the first of them. */
function count(tally: RootfsSurvey['closed'], singular: string, plural: string): string {
  const shown = tally.samples.slice(0, 3).join(', ');
  const more = tally.count > 3 ? ', …' : '';
  return `${tally.count} ${tally.count === 1 ? singular : plural} (${shown}${more})`;
}

/** What differs from `docker run` for every image. */
export const standingDifferences: ParityFinding[] = [
  {
    code: 'NOT_ROOT',
    severity: 'note',
    differs: 'Nobody is root: apt-get, chown and ports below 1024 do not work in a job.',
    done: 'The job runs as you; files it makes belong to you.',
    advice: 'Install everything in the Dockerfile.',
  },
  {
    code: 'HOME',
    severity: 'note',
    differs: 'HOME is a directory of its own instead of /root, and not your home on the cluster.',
    done: 'It is empty at the start and goes with the job, so that nothing in your home changes what the image does.',
    advice: 'Bind what you need of your home (binds).',
  },
  {
    code: 'READ_ONLY',
    severity: 'note',
    differs: "The image's files are read-only.",
    done: 'A small layer on top takes what programs write, and goes with the job.',
    advice: 'Write large files to the working directory or /tmp.',
  },
  {
    code: 'VARIABLES',
    severity: 'note',
    differs: 'There are more variables: SLURM_*, CUDA_VISIBLE_DEVICES and what Apptainer sets, APPTAINER_* among it.',
    done: "Nothing else of the node's or the login's environment gets in.",
  },
  {
    code: 'HOST_NETWORK',
    severity: 'note',
    differs: "The job has the node's network, host name and processes.",
    done: 'localhost is the node: other jobs may listen there too.',
  },
];

/** For a terminal: a line for what differs, indented what hpcrun does and what the user can do. Empty without findings. */
export function renderParityReport(findings: readonly ParityFinding[]): string {
  return findings
    .map(({ severity, differs, done, advice }) =>
      [`${severity}: ${differs}`, `    ${done}`, ...(advice === undefined ? [] : [`    → ${advice}`])].join('\n'),
    )
    .join('\n');
}
