/** Every path hpcrun uses on a cluster, made from the absolute root. */
export class RemoteLayout {
  /**
   * @param root the user's own directory, absolute
   * @param store where images are kept; a directory that a group shares, or the root
   */
  constructor(
    readonly root: string,
    readonly store: string = root,
  ) {}

  get images(): string {
    return `${this.store}/images`;
  }

  /** Who last used which image of the store, and for which jobs: one file `<sha256>.<user>` each. */
  get uses(): string {
    return `${this.store}/uses`;
  }

  /** Files of projects by their content, linked into the snapshots that hold them. */
  get objects(): string {
    return `${this.root}/objects`;
  }

  get code(): string {
    return `${this.root}/code`;
  }

  /** What the first job found out about containers there. */
  get containers(): string {
    return `${this.root}/containers`;
  }

  get runs(): string {
    return `${this.root}/runs`;
  }

  /** An immutable image by the sha256 of its bytes. */
  image(sha256: string): string {
    return `${this.images}/${sha256}.sif`;
  }

  /** An immutable squashfs to be mounted over an image, by the sha256 of its bytes. */
  overlay(sha256: string): string {
    return `${this.images}/${sha256}.sqfs`;
  }

  /** The chunks an image consists of, so that the next one can be sent as a difference. */
  chunkIndex(sha256: string): string {
    return `${this.images}/${sha256}.chunks`;
  }

  /** What of an image has arrived so far. */
  incoming(sha256: string): string {
    return `${this.images}/.incoming-${sha256}`;
  }

  /** An immutable snapshot of a project tree. */
  snapshot(treeHash: string): string {
    return `${this.code}/${treeHash}`;
  }

  /** A run by its id, or a task of a sweep by `RUN.N`: what is in it is called the same. */
  run(runId: string): RunLayout {
    return new RunLayout(`${this.runs}/${runId.replace('.', '/tasks/')}`);
  }
}

/** The paths of one run. */
export class RunLayout {
  constructor(readonly directory: string) {}

  /** The run's own writable copy of the project. */
  get work(): string {
    return `${this.directory}/work`;
  }

  get logs(): string {
    return `${this.directory}/logs`;
  }

  get log(): string {
    return `${this.logs}/job.log`;
  }

  get state(): string {
    return `${this.directory}/state`;
  }

  /** The job's exit status, written by the job itself. */
  get sentinel(): string {
    return `${this.state}/exit`;
  }

  /** Its change time separates the project's files from the run's results. */
  get baseline(): string {
    return `${this.state}/baseline`;
  }
}
