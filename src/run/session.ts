import type { ResolvedCluster } from '../config/cluster.js';
import type { Directories } from '../config/directories.js';
import { packageVersion } from '../package-directory.js';
import type { Progress } from '../progress.js';
import { learnCluster, type ClusterFacts } from '../cluster/probe.js';
import { RemoteLayout } from '../cluster/layout.js';
import type { ContainerEngine, EngineName } from '../image/engine.js';
import type { Connection } from '../ssh/connection.js';
import { KeyRing } from '../ssh/key-ring.js';
import { noPrompter, type Prompter } from '../ssh/prompter.js';
import { openConnection } from '../ssh/open-connection.js';
import { findSharedConnection } from '../ssh/shared-connection.js';
import { withSlurmCommands } from '../slurm/slurm-commands.js';
import { RecordStore } from './record.js';
import { connectionTarget, sharedPlace } from './shared-place.js';

/** What every command on runs needs from the outside. */
export interface SessionInputs {
  directories: Directories;
  env: NodeJS.ProcessEnv;
  cluster: ResolvedCluster;
  /** Undefined for whichever is there. */
  engine: EngineName | undefined;
  /** The local image cache's limit, in bytes. */
  cacheBytes: number;
  /** How fast images may be sent, in bytes a second; undefined for as fast as they go. */
  bytesPerSecond: number | undefined;
  progress: Progress;
  prompter: Prompter;
  signal: AbortSignal;
}

/** One cluster, and at most one connection to it, for the length of a command. */
export class Session {
  readonly records: RecordStore;
  private connection: Promise<Connection> | undefined;
  private readonly keys = new KeyRing();
  private foundEngine: Promise<ContainerEngine> | undefined;

  constructor(readonly inputs: SessionInputs) {
    this.records = new RecordStore(inputs.cluster.stateDirectory, (path) => {
      inputs.progress.warn(`${path} is not a run record this version of hpcrun can read; it is passed over.`);
    });
  }

  get cluster(): ResolvedCluster {
    return this.inputs.cluster;
  }

  get signal(): AbortSignal {
    return this.inputs.signal;
  }

  get progress(): Progress {
    return this.inputs.progress;
  }

  /** The connection of `hpcrun connect`, or else one of its own: logs in at the first call. */
  readonly connect = (): Promise<Connection> => {
    this.connection ??= this.openConnection({ unattended: false }).then((opened) =>
      withSlurmCommands(opened, this.inputs.cluster.slurm ?? {}),
    );
    return this.connection;
  };

  /**
   * A new connection in the place of one that is lost.
   * @param options.unattended whether nobody is to be asked anything, so that only keys are tried
   */
  async reconnect(options: { unattended: boolean }): Promise<Connection> {
    const lost = this.connection;
    this.connection = undefined;
    lost?.then(
      (connection) => {
        connection.close();
      },
      () => undefined,
    );
    this.connection = this.openConnection(options).then((opened) =>
      withSlurmCommands(opened, this.inputs.cluster.slurm ?? {}),
    );
    return await this.connection;
  }

  private async openConnection({ unattended }: { unattended: boolean }): Promise<Connection> {
    const { cluster, directories, env, signal } = this.inputs;
    const prompter = unattended ? noPrompter : this.inputs.prompter;
    const place = sharedPlace(cluster, directories, env);
    const shared = place && (await findSharedConnection(place, packageVersion()));
    if (shared) return shared;
    return await openConnection(connectionTarget(cluster), { env, prompter, signal, keys: this.keys, unattended });
  }

  /** Docker or Podman. Throws ENGINE_MISSING or ENGINE_FAILED. */
  readonly engine = (): Promise<ContainerEngine> => {
    // Most commands need no engine, and what starts one takes its time to load.
    this.foundEngine ??= import('../image/resolve-engine.js').then(({ resolveEngine }) =>
      resolveEngine(this.inputs.engine, this.inputs.signal),
    );
    return this.foundEngine;
  };

  /** Facts about the cluster; `paths` are remote paths of the configuration whose variables are to be looked up. */
  async facts(paths: string[] = []): Promise<ClusterFacts> {
    return await learnCluster(this.inputs.cluster, paths, this.connect, this.inputs.signal);
  }

  async layout(): Promise<RemoteLayout> {
    const { root, store } = await this.facts();
    return new RemoteLayout(root, store);
  }

  async close(): Promise<void> {
    if (!this.connection) return;
    const [result] = await Promise.allSettled([this.connection]);
    if (result.status === 'fulfilled') result.value.close();
  }
}
