import type { ImageInfo } from './engine.js';
import { findConfigurationDifferences, findFileDifferences } from './parity-image.js';
import { findNodeDifferences } from './parity-node.js';
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
  | 'TMP'
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

const severities = ['error', 'warning', 'note'] as const;

/** What an image's job does not have of what `docker run` gives, the gravest first. */
export function reportParity(input: ParityInput): ParityFinding[] {
  const findings = [
    ...findNodeDifferences(input),
    ...findConfigurationDifferences(input.info, input.survey),
    ...findFileDifferences(input),
  ];
  return severities.flatMap((severity) => findings.filter((finding) => finding.severity === severity));
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
    done: 'A layer on top takes what programs write, 64 MB unless the site allows more, and goes with the job.',
    advice: 'Write large files to the working directory or /tmp.',
  },
  {
    code: 'TMP',
    severity: 'note',
    differs: '/tmp and /var/tmp are empty at the start: what the image has there is not seen.',
    done: 'They are directories of the node, and go with the job.',
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
