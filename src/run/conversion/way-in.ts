import type { ResolvedCluster } from '../../config/cluster.js';
import type { Resources } from '../../config/resources.js';
import type { Conversion } from '../../config/schema.js';
import type { RemoteLayout } from '../../cluster/layout.js';
import type { ContainerEngine, ImageInfo } from '../../image/engine.js';
import type { Compression } from '../../image/squash.js';
import type { Connection } from '../../ssh/connection.js';

export type WayName = Exclude<Conversion, 'auto'>;

/** Whether a way can be gone, and why, as a clause such as `mksquashfs 4.5.1 is here`. */
export interface Possibility {
  possible: boolean;
  why: string;
}

/** A SIF, on this machine or already in the cluster's store. */
export type ConvertedFile = {
  /** Hex, of the whole file. */
  sha256: string;
  sizeBytes: number;
  /**
   * Whether hpcrun wrote the image's environment into it. Apptainer's own conversion puts ENV where a shell evaluates it:
   * the job must then bring the exact values itself.
   */
  isNative: false;
} & ({ place: 'local'; path: string } | { place: 'cluster' });

export interface WayOptions {
  /** Where a local way writes; the caller removes it if the way fails. Ways on the cluster have no use for it. */
  outputPath: string;
  signal: AbortSignal;
  /** What is being done, such as `1.2 GB read`. */
  onProgress: (detail: string) => void;
}

interface Way {
  readonly name: WayName;
  /** Asks whether the way is open. Throws only what the asking itself can meet, such as CONNECTION_LOST. */
  probe(signal: AbortSignal): Promise<Possibility>;
}

/** hpcrun's own conversion, which has more to it than one file: `obtainSif`. */
export interface NativeWay extends Way {
  readonly name: 'native';
}

/** A way by which Apptainer makes the SIF, somewhere. */
export interface ApptainerWay extends Way {
  readonly name: Exclude<WayName, 'native'>;
  readonly place: ConvertedFile['place'];
  /** Whatever makes a difference to the result beside the image: the key of caches. */
  readonly recipe: string;
  /** Throws CONVERSION_FAILED with a hint at what to try instead, ENGINE_FAILED, INTERRUPTED and what a connection throws. */
  convert(info: ImageInfo, options: WayOptions): Promise<ConvertedFile>;
}

/** One way from an image of the engine to a SIF. */
export type WayIn = NativeWay | ApptainerWay;

/** What the ways need from the outside. */
export interface ConversionContext {
  engine: () => Promise<ContainerEngine>;
  connect: () => Promise<Connection>;
  layout: () => Promise<RemoteLayout>;
  cluster: Pick<ResolvedCluster, 'name' | 'modules' | 'container' | 'slurm' | 'pollSeconds' | 'registry'>;
  /** What the cluster's Apptainer is known to read. */
  compression: Compression;
  /** What a conversion that is a job asks for; GPUs are left out. */
  resources: Resources;
  env: NodeJS.ProcessEnv;
}
