import type { ResolvedCluster } from '../../config/cluster.js';
import { formatBytes } from '../../progress.js';
import type { Finding } from './finding.js';
import type { TrialResult } from './trial.js';

/** What the small job has told, for people. `modules` are those of the login node that look like a container program. */
export function judgeTrial(
  result: TrialResult,
  cluster: Pick<ResolvedCluster, 'name' | 'compression'>,
  modules: string[] = [],
): Finding[] {
  const about = { section: 'containers', name: 'job' } as const;
  switch (result.kind) {
    case 'waiting':
      return [
        {
          ...about,
          verdict: 'warning',
          message: `job ${result.jobId} did not start in time (${result.state}) and was cancelled`,
          remedy: 'Give it longer: hpcrun doctor --patience 1h. Or look again when the queue is shorter.',
        },
      ];
    case 'ended':
      return [
        {
          ...about,
          verdict: 'problem',
          message: `job ${result.jobId} ended without an answer (${result.state})`,
          ...(result.log.length > 0 ? { details: result.log } : {}),
          remedy: `Do the compute nodes see the directory? If not, set another "root:" for ${cluster.name}.`,
          code: 'CONTAINER_UNUSABLE',
        },
      ];
    case 'no-container':
      return [
        {
          ...about,
          verdict: 'problem',
          message: `no container runs on ${result.node}: ${result.message}`,
          remedy: /neither|there is no|could not be loaded/.test(result.message)
            ? nameModule(cluster.name, modules)
            : 'The message is that of the container program: ask the site with it.',
          code: 'CONTAINER_UNUSABLE',
        },
      ];
    case 'ran':
      return judgeFacts(result, cluster);
  }
}

function nameModule(clusterName: string, modules: string[]): string {
  const candidate = modules.find((name) => /apptainer|singularity/i.test(name));
  const setting = `container: {modules: [${candidate ?? 'NAME'}]}`;
  if (candidate !== undefined) return `There is a module for it; name it for ${clusterName}: ${setting}`;
  return `If Apptainer comes with a module, name it for ${clusterName}: ${setting}; "module avail" on the login node shows them.`;
}

function judgeFacts(
  { node, facts, scratchBytes }: TrialResult & { kind: 'ran' },
  { name, compression }: Pick<ResolvedCluster, 'name' | 'compression'>,
): Finding[] {
  const section = 'containers';
  const { zstd, overlays, kernel, driver, internet, container = '' } = facts;
  const findings: Finding[] = [
    {
      section,
      name: 'job',
      verdict: 'ok',
      message: `a container ran in a job on ${node}: ${container || 'Apptainer'}, kernel ${kernel}${driver === '' ? '' : `, NVIDIA driver ${driver}`}`,
    },
    compression === 'zstd' && !zstd
      ? {
          section,
          name: 'zstd',
          verdict: 'problem',
          message: 'images in zstd cannot be read there, and the configuration asks for them',
          remedy: `Remove "compression: zstd" from ${name} in the configuration.`,
          code: 'CONTAINER_UNUSABLE',
        }
      : zstd
        ? { section, name: 'zstd', verdict: 'ok', message: 'it reads zstd: images are sent in it' }
        : { section, name: 'zstd', verdict: 'note', message: 'it does not read zstd: images are sent in gzip' },
    overlays
      ? {
          section,
          name: 'overlays',
          verdict: 'ok',
          message: 'it mounts overlays: a changed image is sent as what differs',
        }
      : {
          section,
          name: 'overlays',
          verdict: 'note',
          message: 'it mounts no overlays: a changed image is sent as a whole file',
        },
  ];
  if (internet !== undefined) {
    findings.push({
      section,
      name: 'internet',
      verdict: internet ? 'ok' : 'note',
      message: internet
        ? 'compute nodes reach the internet'
        : 'compute nodes reach no internet: get data and models before, and switch trackers to offline',
    });
  }
  if (scratchBytes !== undefined && scratchBytes < 1e9) {
    findings.push({
      section,
      name: 'scratch',
      verdict: 'warning',
      message: `a job has ${formatBytes(scratchBytes)} for its /tmp and home directory`,
      remedy: 'Write large files to the project or to a bind.',
    });
  }
  return findings;
}
