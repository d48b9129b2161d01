/** Which CUDA an image brings along, and whether a driver runs it. Versions are `major.minor`, or `major` if that is all that is known. */

export interface CudaEvidence {
  version: string;
  /** What tells it: a variable or a path. */
  source: string;
}

// Almost no path of an image gets past this.
const isWorthALook = /cud|\+cu\d/;

const pathPatterns = [
  /^usr\/local\/cuda-(\d+\.\d+)$/,
  // Wheels put a hash into the name. The file of a name with fewer numbers is a link to one with more.
  /\/libcudart(?:-[0-9a-f]+)?\.so\.(\d+\.\d+)(?:\.\d+)*$/,
  /\/libcudart(?:-[0-9a-f]+)?\.so\.(\d+)$/,
  /\/nvidia_cuda_runtime(?:_cu\d+)?-(\d+\.\d+)[^/]*\.dist-info$/,
  /\/conda-meta\/(?:cuda-cudart|cuda-version|cudatoolkit)-(\d+\.\d+)[^/]*\.json$/,
  /\/[^/]+\+cuda(\d+)[^/]*\.dist-info$/,
];

// PyTorch's way to say 12.4 in a wheel's version: 2.6.0+cu124.
const wheelPattern = /\/torch-[^/+]+\+cu(\d+)(\d)\.(?:dist|egg)-info$/;

/** The CUDA version that a file or directory of this path stands for, relative to the root of the image. */
export function cudaVersionOfPath(path: string): string | undefined {
  if (!isWorthALook.test(path)) return undefined;
  for (const pattern of pathPatterns) {
    const version = pattern.exec(path)?.[1];
    if (version !== undefined) return version;
  }
  const wheel = wheelPattern.exec(path);
  return wheel ? `${wheel[1] ?? ''}.${wheel[2] ?? ''}` : undefined;
}

/** What ENV tells: NVIDIA's images set CUDA_VERSION, and NVIDIA_REQUIRE_CUDA such as `cuda>=12.4 brand=tesla,driver>=470`. */
export function cudaOfEnvironment(environment: readonly string[]): CudaEvidence[] {
  return environment.flatMap((pair) => {
    const version =
      /^CUDA_VERSION=(\d+\.\d+)/.exec(pair)?.[1] ?? /^NVIDIA_REQUIRE_CUDA=.*?\bcuda>=(\d+\.\d+)/s.exec(pair)?.[1];
    return version === undefined ? [] : [{ version, source: pair.slice(0, pair.indexOf('=')) }];
  });
}

/** Below 0 if the first is older, above 0 if it is newer. What is not known of a version counts as 0. */
export function compareVersions(first: string, second: string): number {
  const [a, b] = [first.split('.').map(Number), second.split('.').map(Number)];
  for (let index = 0; index < Math.max(a.length, b.length); index += 1) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * What a driver that supports up to CUDA `driver` makes of programs built with CUDA `wanted`. `limited`: they run, but what
 * has to be compiled at run time (PTX) and features that need the newer driver do not. Source: NVIDIA, CUDA Compatibility,
 * "Minor Version Compatibility": from CUDA 11 on, a driver runs every version of its own major one.
 */
export function cudaSupport(wanted: string, driver: string): 'full' | 'limited' | 'none' {
  if (compareVersions(wanted, driver) <= 0) return 'full';
  const [major, driverMajor] = [Number.parseInt(wanted, 10), Number.parseInt(driver, 10)];
  return major === driverMajor && major >= 11 ? 'limited' : 'none';
}
