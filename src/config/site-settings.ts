import { z } from 'zod';

/** A path of a cluster. */
export const remotePath = z
  .string()
  .regex(/^[/~$][^\0\n]*$/, 'must be an absolute path on the cluster; it may begin with ~ or a variable');

export const moduleNames = z.array(z.string().regex(/^[\w./+@-]+$/, 'is not a module name'));

export const namePatterns = z.array(z.string().regex(/^[\w.*+@-]+$/, 'must be a name; * stands for any characters'));

/** Without these, hpcrun would not find its jobs or what they print. */
const indispensable = ['comment', 'output'];
/** Of these, a job has what hpcrun gives it; with other values it could not be followed. */
const reserved = new Set([
  ...['array', 'chdir', 'comment', 'error', 'input', 'job-name', 'open-mode', 'output', 'parsable', 'quiet'],
  ...['test-only', 'wait', 'wrap'],
]);

const sbatchOption = z.string().regex(/^[a-z][a-z-]*$/, 'must be a long option of sbatch, without the dashes');
const directives = z.record(
  sbatchOption.refine((name) => !reserved.has(name), 'is an option that hpcrun sets itself'),
  z.string().regex(/^[\w.+@,:=/% -]+$/, 'cannot stand in an #SBATCH line'),
);

const gpuRules = z.strictObject({
  option: z.enum(['gres', 'gpus', 'gpus-per-node', 'none']).optional(),
  vendor: z.enum(['nvidia', 'amd']).optional(),
  typeRequired: z.boolean().optional(),
  types: z.array(z.string().regex(/^[A-Za-z0-9][\w.-]*$/, 'is not a type of GPU')).optional(),
  perNode: z.int().positive().optional(),
  cpusPerGpu: z.int().positive().optional(),
  directives: directives.optional(),
});

const partitionRules = z.strictObject({
  account: z.enum(['required', 'forbidden']).optional(),
  gpus: gpuRules.optional(),
});

/** SLURM's commands that hpcrun calls. */
export const slurmCommands = ['sbatch', 'squeue', 'sacct', 'scancel', 'scontrol', 'sinfo', 'sacctmgr'] as const;

/** How a cluster's SLURM wants to be asked; src/slurm/rules.ts says what each of the rules does. */
export const slurmSchema = z.strictObject({
  /** What SLURM's commands are called there, such as `sbatch: sbatch.tinygpu`. */
  commands: z.partialRecord(z.enum(slurmCommands), z.string().regex(/^[\w./+-]+$/, 'is not a command')).optional(),
  /** Modules that bring SLURM's commands to a login node. */
  modules: moduleNames.optional(),
  required: z.array(z.enum(['account', 'time', 'partition', 'memory', 'cpus'])).optional(),
  forbidden: z
    .array(sbatchOption.refine((name) => !indispensable.includes(name), 'is an option that hpcrun cannot do without'))
    .optional(),
  directives: directives.optional(),
  cpuDirectives: directives.optional(),
  memoryOption: z.enum(['mem', 'mem-per-cpu']).optional(),
  gpus: gpuRules.optional(),
  partitions: z.record(z.string().regex(/^[\w.*+@-]+$/, 'is not a partition'), partitionRules).optional(),
  /** What starts the tasks of a job. */
  launcher: z.enum(['srun', 'ibrun']).optional(),
  /** Behind the host names by which the processes of a job find each other. */
  rendezvousSuffix: z
    .string()
    .regex(/^[\w.-]+$/, 'must be part of a host name')
    .optional(),
});

const proxyAddress = z.string().regex(/^https?:\/\/[\w.:@[\]-]+\/?$/, 'must be an address such as http://proxy:3128');

/** What may be said of a cluster, both by its site and by the user. */
export const siteSettings = {
  transport: z.enum(['ssh2', 'openssh'], { error: 'must be ssh2 or openssh' }).optional(),
  /** The order in which ways to log in are tried. */
  authentication: z.array(z.enum(['publickey', 'password', 'keyboard-interactive'])).optional(),
  compression: z.enum(['gzip', 'zstd']).optional(),
  overlays: z.boolean().optional(),
  pollSeconds: z.number().positive().optional(),
  modules: moduleNames.optional(),
  /** What runs containers on the compute nodes, and the modules it comes with. */
  container: z
    .strictObject({
      command: z
        .string()
        .regex(/^[\w./+-]+$/, 'must be apptainer, singularity or a path')
        .optional(),
      modules: moduleNames.optional(),
    })
    .optional(),
  /** How the compute nodes reach the internet; handed to jobs as variables. */
  proxy: z
    .strictObject({ http: proxyAddress.optional(), https: proxyAddress.optional(), except: z.string().optional() })
    .optional(),
  /** Whether compute nodes reach the internet, if need be through the proxy. */
  computeInternet: z.boolean().optional(),
  /** Directories of the login nodes that compute nodes do not have. */
  notOnComputeNodes: z.array(remotePath).optional(),
  slurm: slurmSchema.optional(),
};
