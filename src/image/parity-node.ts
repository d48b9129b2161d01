import { compareVersions, cudaOfEnvironment, cudaSupport, type CudaEvidence } from './cuda.js';
import type { ImageInfo } from './engine.js';
import type { ParityFinding, ParityInput } from './parity.js';
import type { RootfsSurvey } from './rootfs-survey.js';

/** Whether the image's programs run on the node at all. */
export function findNodeDifferences({ info, survey, node = {} }: ParityInput): ParityFinding[] {
  return [
    ...architectureFindings(info, survey, node.architecture),
    ...kernelFindings(survey, node.kernel),
    ...cudaFindings([...cudaOfEnvironment(info.environment), ...survey.cuda], node.cudaDriver),
  ];
}

function architectureFindings(info: ImageInfo, survey: RootfsSurvey, node: string | undefined): ParityFinding[] {
  const content = survey.architecture ?? info.architecture;
  const wanted = node ?? info.architecture;
  const isMislabelled = !runsOn(content, info.architecture);
  const advice = isMislabelled
    ? `Look for FROM --platform=… or a base image in the Dockerfile that is not for ${wanted}.`
    : `Build it for the node: image: {platform: linux/${wanted}} in hpcrun.yaml.`;
  const where = node === undefined ? '' : `; the node is ${node}`;
  if (!runsOn(content, wanted)) {
    const label = isMislabelled ? `, although it says that it is for ${info.architecture}` : '';
    const differs = `The image holds programs for ${content}${label}${where}.`;
    const done = 'Nothing: none of its programs would start ("exec format error").';
    return [{ code: 'ARCHITECTURE', severity: 'error', differs, done, advice }];
  }
  if (info.architecture === wanted) return [];
  const differs = `The image says that it is for ${info.architecture}${where}.`;
  return [{ code: 'ARCHITECTURE', severity: 'error', differs, done: 'Nothing: Apptainer refuses to run it.', advice }];
}

/** 64-bit x86 runs 32-bit programs. */
function runsOn(content: string, node: string): boolean {
  return content === node || (content === '386' && node === 'amd64');
}

function kernelFindings(survey: RootfsSurvey, kernel: string | undefined): ParityFinding[] {
  const { minimumKernel, refusesOlderKernels } = survey;
  const running = /^\d+(?:\.\d+)*/.exec(kernel ?? '')?.[0];
  if (minimumKernel === undefined || running === undefined || compareVersions(minimumKernel, running) <= 0) return [];
  return [
    {
      code: 'KERNEL_TOO_OLD',
      severity: refusesOlderKernels ? 'error' : 'warning',
      differs: `The image's C library is made for Linux ${minimumKernel} or newer; the node runs ${running}.`,
      done: refusesOlderKernels
        ? 'Nothing: its programs would end with "FATAL: kernel too old".'
        : 'Nothing: its programs may fail where they use what that kernel lacks.',
      advice: 'Use an older base image, of a distribution from the time of that kernel.',
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
