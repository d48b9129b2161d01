import type { Resources } from '../config/resources.js';
import { parseBytes } from '../config/quantities.js';

/** How variables come into a container, so that none that may be a secret can be read off a command line. */
export interface ContainerVariables {
  /** Passed by name; the value is in the client's own environment. */
  inherited: Record<string, string>;
  /** A private file for names that mean something to the client itself. */
  file: { path: string; text: string } | undefined;
  onCommandLine: Record<string, string>;
  /** Variables of the image that a job does not see. */
  removed: string[];
}

// What the clients, and the programs they call, read themselves.
const clientsOwn =
  /^(?:path|home|user|tmpdir|term|listen_.*|notify_socket|go[a-z]*|ld_.*|dyld_.*|(?:https?|ftp|no|all)_proxy|(?:_?container|docker|build|podman|storage|registry|xdg|dbus|ssh|ssl|otel)[a-z]*_.*)$/i;

// Docker reads such a file in lines of up to 64 KiB.
const longestLine = 60_000;

/**
 * Decides how each of the user's variables is handed over. `callers` is the environment of hpcrun, which the client has,
 * too: a secret that comes from there can always be passed by name. Of the others, one that would change what the client
 * does goes through a file, or, where a file cannot hold its value, in the arguments: it stood in those of hpcrun or in
 * hpcrun.yaml.
 */
export function placeVariables(
  users: Record<string, string>,
  known: Record<string, string>,
  { callers, filePath, removed }: { callers: NodeJS.ProcessEnv; filePath: string; removed: string[] },
): ContainerVariables {
  const inherited: Record<string, string> = {};
  const onCommandLine: Record<string, string> = {};
  const lines: string[] = [];
  for (const [name, value] of Object.entries(users)) {
    if (callers[name] === value || !clientsOwn.test(name)) inherited[name] = value;
    else if (/[\r\n]/.test(value) || value.length > longestLine) onCommandLine[name] = value;
    else lines.push(`${name}=${value}\n`);
  }
  const ownNames = new Set(Object.keys(users));
  for (const [name, value] of Object.entries(known)) if (!ownNames.has(name)) onCommandLine[name] = value;
  const file = lines.length === 0 ? undefined : { path: filePath, text: lines.join('') };
  return { inherited, file, onCommandLine, removed };
}

/** What the job script and SLURM would set (sbatch man page, output environment variables), as far as it has a meaning here. */
export function renderJobVariables(
  { runId, name, mount, resources }: { runId: string; name: string; mount: string; resources: Resources },
  hasGpus: boolean,
): Record<string, string> {
  const { cpus, memory, gpus, partition, account } = resources;
  const cores = String(cpus ?? 1);
  const gpuCount = gpus?.count ?? 0;
  return {
    LANG: 'C.UTF-8',
    HPCRUN_RUN_ID: runId,
    HPCRUN_RESULTS: mount,
    SLURM_JOB_ID: '1',
    SLURM_JOBID: '1',
    SLURM_JOB_NAME: name,
    SLURM_CLUSTER_NAME: 'local',
    SLURM_JOB_NUM_NODES: '1',
    SLURM_NNODES: '1',
    SLURM_NTASKS: '1',
    SLURM_PROCID: '0',
    SLURM_LOCALID: '0',
    SLURM_NODEID: '0',
    SLURM_JOB_NODELIST: 'localhost',
    SLURMD_NODENAME: 'localhost',
    SLURM_CPUS_ON_NODE: cores,
    SLURM_JOB_CPUS_PER_NODE: cores,
    ...(cpus === undefined ? {} : { SLURM_CPUS_PER_TASK: cores }),
    ...(memory === undefined ? {} : { SLURM_MEM_PER_NODE: String(Math.ceil((parseBytes(memory) ?? 0) / 2 ** 20)) }),
    ...(partition === undefined ? {} : { SLURM_JOB_PARTITION: partition }),
    ...(account === undefined ? {} : { SLURM_JOB_ACCOUNT: account }),
    ...(gpuCount > 0 && hasGpus
      ? {
          SLURM_GPUS_ON_NODE: String(gpuCount),
          // The container has all GPUs; CUDA passes over those that are not named, and names that are not there.
          CUDA_VISIBLE_DEVICES: Array.from({ length: gpuCount }, (_, index) => index).join(','),
        }
      : {}),
  };
}
