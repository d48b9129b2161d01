import type { Readable } from 'node:stream';

export const engineNames = ['docker', 'podman'] as const;

/** The programs hpcrun builds images with. */
export type EngineName = (typeof engineNames)[number];

/** What an image says about itself; the parts hpcrun uses of the OCI image configuration. */
export interface ImageInfo {
  /** `sha256:…`, the digest of the configuration: it changes with any layer. */
  id: string;
  os: string;
  /** Go's name of the architecture, such as `amd64`. */
  architecture: string;
  entrypoint: string[];
  command: string[];
  /** `NAME=value`, in order. */
  environment: string[];
  labels: Record<string, string>;
  /** USER as written, such as `app` or `1000:1000`; empty for root. */
  user: string;
  /** WORKDIR; `/` where the image names none. */
  workingDirectory: string;
  /** Paths of VOLUME, sorted. */
  volumes: string[];
  /** EXPOSE, such as `8888/tcp`, sorted. */
  ports: string[];
  /** HEALTHCHECK's test, such as `['CMD-SHELL', 'curl …']`; empty for none. */
  healthcheck: string[];
  /** Digests of the unpacked layers, the lowest first. */
  layers: string[];
}

/** An image that says nothing, as `FROM scratch` gives. */
export const emptyImage: ImageInfo = {
  id: '',
  os: 'linux',
  architecture: 'amd64',
  entrypoint: [],
  command: [],
  environment: [],
  labels: {},
  user: '',
  workingDirectory: '/',
  volumes: [],
  ports: [],
  healthcheck: [],
  layers: [],
};

export interface BuildRequest {
  /** Absolute paths. */
  dockerfile: string;
  context: string;
  target?: string;
  args: Record<string, string>;
  /** `linux/amd64` and the like; without it the engine's own. */
  platform?: string;
  tag: string;
}

export interface EngineOptions {
  signal: AbortSignal;
  /** Each line the engine prints. */
  onOutput?: (line: string) => void;
}

/** What an engine's client prints, as it comes. */
export interface EngineOutput {
  stream: Readable;
  /** Settles when the engine has sent everything; rejects if it failed. */
  completed: Promise<void>;
  /** Ends the export and removes what the engine made for it. */
  dispose(): Promise<void>;
}

/** A file system of an image, as one flat tar in pieces, each of which is good until the next one is asked for. */
export interface RootfsTar extends Omit<EngineOutput, 'stream'> {
  pieces: AsyncIterable<Buffer>;
}

/** A program that builds and holds container images. */
export interface ContainerEngine {
  readonly name: EngineName;
  /** Builds an image and returns its id. Throws BUILD_FAILED with the end of the build's own output. */
  build(request: BuildRequest, options: EngineOptions): Promise<string>;
  /** Undefined if there is no such image. */
  inspect(image: string, options: EngineOptions): Promise<ImageInfo | undefined>;
  /** Fetches an image from its registry. Throws IMAGE_NOT_FOUND. */
  pull(image: string, platform: string | undefined, options: EngineOptions): Promise<void>;
  /** Go's name of the engine's own architecture. */
  architecture(options: EngineOptions): Promise<string>;
  exportRootfs(info: ImageInfo, options: EngineOptions): Promise<RootfsTar>;
  /** The image as an uncompressed archive in `docker save`'s format (docker-archive in Apptainer's words), as it streams. */
  saveArchive(imageId: string, options: EngineOptions): Promise<EngineOutput>;
  /**
   * Sends an image to a registry under `reference`, with the engine's own credentials, and returns its digest there.
   * `insecure` allows plain HTTP where the engine leaves it to its client (Podman); Docker allows it for loopback
   * addresses and for what its daemon is configured for. Throws ENGINE_FAILED.
   */
  push(imageId: string, reference: string, options: EngineOptions & { insecure: boolean }): Promise<string>;
  /**
   * Runs a shell script as root in a throw-away container of the image, without network, its file system read-only; what it
   * prints comes as a stream. `completed` rejects with ENGINE_FAILED if it fails or the image has no shell.
   */
  runScript(info: ImageInfo, script: string, options: EngineOptions & { input?: Buffer }): EngineOutput;
}
