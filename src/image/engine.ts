import type { Readable } from 'node:stream';

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
}

export interface BuildRequest {
  /** Absolute paths. */
  dockerfile: string;
  context: string;
  target?: string;
  args: Record<string, string>;
  tag: string;
}

export interface EngineOptions {
  signal: AbortSignal;
  /** Each line the engine prints. */
  onOutput?: (line: string) => void;
}

/** A file system of an image, as one flat tar. */
export interface RootfsExport {
  stream: Readable;
  /** Settles when the engine has sent everything; rejects if it failed. */
  completed: Promise<void>;
  /** Ends the export and removes what the engine made for it. */
  dispose(): Promise<void>;
}

/** A program that builds and holds container images. */
export interface ContainerEngine {
  /** Builds an image and returns its id. Throws BUILD_FAILED with the end of the build's own output. */
  build(request: BuildRequest, options: EngineOptions): Promise<string>;
  /** Undefined if there is no such image. */
  inspect(image: string, options: EngineOptions): Promise<ImageInfo | undefined>;
  exportRootfs(imageId: string, options: EngineOptions): Promise<RootfsExport>;
}
