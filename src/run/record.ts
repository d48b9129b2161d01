import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isMissing } from '../errors.js';
import { writeAtomically } from '../local-file.js';
import { isRunId } from './run-id.js';

const recordSchema = z.object({
  schemaVersion: z.literal(1),
  runId: z.string().refine(isRunId, 'is not a run id'),
  name: z.string(),
  /** The shape of its job: the name of a file in slurm-templates/. */
  template: z.string().default('single'),
  cluster: z.string(),
  createdAt: z.iso.datetime(),
  hpcrunVersion: z.string(),
  /** Where it was submitted from. */
  origin: z.object({ host: z.string(), projectDirectory: z.string() }),
  image: z.object({
    id: z.string(),
    tag: z.string(),
    /** The SIF at the bottom. */
    sha256: z.string(),
    sizeBytes: z.int(),
    /** Squashfs files mounted over it, the lowest first. */
    overlays: z.array(z.object({ sha256: z.string(), sizeBytes: z.int() })).default([]),
    /** Whether the image's environment is in the SIF as it is; otherwise the job has to bring it. */
    isNative: z.boolean().default(true),
    /** VOLUME directories that are empty in the image: the job gives them a place to write to. */
    volumes: z.array(z.string()).default([]),
  }),
  code: z.object({
    treeHash: z.string(),
    /** Of the names, kinds and sizes of its files, by which it is known to be whole. Unknown of old records. */
    listing: z.string().optional(),
    files: z.int(),
    git: z
      .object({
        commit: z.string(),
        /** Unknown of old records and of a detached HEAD. */
        branch: z.string().optional(),
        isDirty: z.boolean(),
      })
      .nullable(),
  }),
  command: z.array(z.string()),
  /** Of a sweep: what its tasks have for `{name}` in the command, or at its end. */
  sweep: z
    .object({
      parameters: z.array(z.string()),
      tasks: z.array(z.array(z.string())),
      maxParallel: z.int().optional(),
    })
    .optional(),
  /** Whose repetition it is. */
  rerunOf: z.string().optional(),
  containerDirectory: z.string(),
  mount: z.string(),
  binds: z.array(z.object({ source: z.string(), target: z.string(), readonly: z.boolean() })),
  /** Names only: values may be secrets. */
  variables: z.array(z.string()),
  resources: z.object({
    gpus: z.object({ type: z.string().optional(), count: z.int() }).optional(),
    nodes: z.int().optional(),
    tasks: z.int().optional(),
    tasksPerNode: z.int().optional(),
    cpus: z.int().optional(),
    memory: z.string().optional(),
    memoryPerCpu: z.string().optional(),
    memoryPerGpu: z.string().optional(),
    time: z.number().optional(),
    partition: z.string().optional(),
    account: z.string().optional(),
    qos: z.string().optional(),
    constraint: z.string().optional(),
    reservation: z.string().optional(),
    exclude: z.string().optional(),
    nodelist: z.string().optional(),
    dependency: z.string().optional(),
    begin: z.string().optional(),
    mailType: z.string().optional(),
    mailUser: z.string().optional(),
    sbatchArgs: z.array(z.object({ name: z.string(), value: z.string().optional() })).optional(),
  }),
  /** How it goes on at its time limit, if it does. */
  resume: z
    .object({
      /** So long before the limit SLURM tells the job. */
      beforeSeconds: z.int(),
      /** What the script is told by. */
      signal: z.enum(['HUP', 'INT', 'USR1', 'USR2', 'TERM']),
      maxRestarts: z.int(),
      /** Of a chain: its jobs. */
      links: z.int().optional(),
    })
    .optional(),
  /** Patterns of files that are not results, as in .gitignore. */
  resultsExclude: z.array(z.string()),
  /** The hpcrun root on the cluster, absolute. */
  root: z.string(),
  /** Where its image is, absolute, if not below the root. */
  store: z.string().optional(),
  /** Known once sbatch has answered. */
  jobId: z.string().nullable(),
});

/** All that is needed to know what a run was; kept on this machine and, as run.json, on the cluster. */
export type RunRecord = z.output<typeof recordSchema>;

/** Throws SyntaxError or ZodError if the text is not a record. */
export function parseRecord(text: string): RunRecord {
  return recordSchema.parse(JSON.parse(text));
}

export function renderRecord(record: RunRecord): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

/** The records of one cluster's runs on this machine. */
export class RecordStore {
  private readonly directory: string;

  /**
   * @param stateDirectory where this machine keeps what it knows of the cluster
   * @param onUnreadable told of records that another version, or a crash, has left unreadable; they are passed over
   */
  constructor(
    stateDirectory: string,
    private readonly onUnreadable: (path: string, error: unknown) => void,
  ) {
    this.directory = join(stateDirectory, 'runs');
  }

  async save(record: RunRecord): Promise<void> {
    await writeAtomically(this.path(record.runId), renderRecord(record));
  }

  async remove(runId: string): Promise<void> {
    await rm(this.path(runId), { force: true });
  }

  async load(runId: string): Promise<RunRecord | undefined> {
    const path = this.path(runId);
    try {
      return parseRecord(await readFile(path, 'utf8'));
    } catch (error) {
      if (isMissing(error)) return undefined;
      if (!(error instanceof SyntaxError) && !(error instanceof z.ZodError)) throw error;
      this.onUnreadable(path, error);
      return undefined;
    }
  }

  /** All records, the oldest first. */
  async list(): Promise<RunRecord[]> {
    let names: string[];
    try {
      names = await readdir(this.directory);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
    const ids = names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length));
    const records = await Promise.all(
      ids
        .filter(isRunId)
        .sort()
        .map((runId) => this.load(runId)),
    );
    return records.filter((record) => record !== undefined);
  }

  private path(runId: string): string {
    return join(this.directory, `${runId}.json`);
  }
}
