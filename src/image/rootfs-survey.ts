import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { compareVersions, cudaVersionOfPath } from './cuda.js';
import { parseElf, type ElfFacts } from './elf-note.js';
import { followLinks, imagePathOf, printImagePath } from './image-path.js';
import { openToAll, type HeadReader, type RootfsEntry } from './rewrite-rootfs.js';

const sampleCount = 5;

const tallySchema = z.object({
  count: z.int().nonnegative(),
  /** Absolute paths of the first few; bytes that are not UTF-8 are replaced. */
  samples: z.array(z.string()),
});

/** What of an image's file system matters for how a job behaves. */
export const rootfsSurveySchema = z.object({
  entries: z.int().nonnegative(),
  totalBytes: z.int().nonnegative(),
  /** Files and directories that others may not read or search although their owner may. */
  closed: tallySchema,
  setuid: tallySchema,
  /** Owned by another user than root. */
  foreign: tallySchema,
  devices: tallySchema,
  fifos: tallySchema,
  capabilities: tallySchema,
  /** Names that are not UTF-8. */
  oddNames: tallySchema,
  /** Of the image's VOLUME paths those that hold something, or may. */
  filledVolumes: z.array(z.string()),
  /** Whether /bin/sh is there. */
  hasShell: z.boolean(),
  /** Go's name of the architecture that /bin/sh or else the C library was built for. */
  architecture: z.string().optional(),
  /** The oldest Linux that the C library, or else /bin/sh, was built for. */
  minimumKernel: z.string().optional(),
  /** Whether the C library is known to refuse older ones: up to glibc 2.35 it does (NEWS for version 2.36). */
  refusesOlderKernels: z.boolean(),
  /** Different versions, each with a path that tells it. */
  cuda: z.array(z.object({ version: z.string(), source: z.string() })),
});

export type RootfsSurvey = z.output<typeof rootfsSurveySchema>;
type Tally = z.output<typeof tallySchema>;

// Programs, among them what /bin/sh may be or lead to, on merged, split and Nix file systems.
const program = /(?:^|\/)(?:[^/]*s?bin\/[^/]+|(?:ba|da|a|z|k|mk|pdk|ya)?sh|busybox|toybox)$/;

// The C library and loader of the image itself, not of what it can cross-compile for.
const libc =
  /^(?:usr\/)?lib(?:|32|64|x32)\/(?:[^/]+-linux-gnu[^/]*\/)?(?:libc\.so\.6|libc-2\.\d+\.so|ld-linux[^/]*\.so\.\d+|ld64\.so\.\d+|ld-2\.\d+\.so)$/;

// Up to glibc 2.33 the version was in the name, and libc.so.6 a link.
const oldLibc = /-2\.\d+\.so$/;

/** Looks at the entries of an image as they pass by, with little effort for each. */
export class RootfsSurveyor {
  private entries = 0;
  private totalBytes = 0;
  private readonly tallies = {
    closed: newTally(),
    setuid: newTally(),
    foreign: newTally(),
    devices: newTally(),
    fifos: newTally(),
    capabilities: newTally(),
    oddNames: newTally(),
  };
  private readonly volumes: { shown: string; prefix: string; isFilled: boolean }[];
  private readonly links = new Map<string, string>();
  private readonly programs = new Map<string, ElfFacts | undefined>();
  private libcArchitecture: string | undefined;
  private libcKernel: string | undefined;
  private refusesOlderKernels = false;
  private readonly cuda = new Map<string, string>();

  /** `volumes` are the image's VOLUME paths. */
  constructor(volumes: readonly string[]) {
    this.volumes = volumes.map((shown) => ({ shown, prefix: `${imagePathOf(shown)}/`, isFilled: false }));
  }

  /** For RewriteOptions.observe. */
  readonly observe = (entry: RootfsEntry): HeadReader | undefined => {
    const { path, type } = entry;
    this.entries += 1;
    if (entry.uid !== 0 && type !== '1') add(this.tallies.foreign, path);
    // eslint-disable-next-line no-control-regex -- everything but ASCII
    if (/[^\x00-\x7f]/.test(path) && !isUtf8(Buffer.from(path, 'latin1'))) add(this.tallies.oddNames, path);
    for (const volume of this.volumes) if (!volume.isFilled && path.startsWith(volume.prefix)) volume.isFilled = true;
    const version = cudaVersionOfPath(path);
    if (version !== undefined && !this.cuda.has(version)) this.cuda.set(version, path);
    switch (type) {
      case '1':
        // The name is another one of a file that has been counted.
        this.links.set(path, `/${entry.linkTarget}`);
        return undefined;
      case '2':
        this.links.set(path, entry.linkTarget);
        return undefined;
      case '3':
      case '4':
        add(this.tallies.devices, path);
        return undefined;
      case '6':
        add(this.tallies.fifos, path);
        return undefined;
      default:
        return this.observeContent(entry);
    }
  };

  /** Files and directories. */
  private observeContent({ path, type, mode, size, hasCapability }: RootfsEntry): HeadReader | undefined {
    const { closed, setuid, capabilities } = this.tallies;
    if (((openToAll(mode) ^ mode) & 0o005) !== 0) add(closed, path);
    if (hasCapability) add(capabilities, path);
    if (type === '5') return undefined;
    this.totalBytes += size;
    if ((mode & 0o6000) !== 0) add(setuid, path);
    if (libc.test(path)) {
      return (head) => {
        this.readLibc(path, head);
      };
    }
    if ((mode & 0o111) === 0 || !program.test(path)) return undefined;
    return (head) => {
      this.programs.set(path, parseElf(head));
    };
  }

  private readLibc(path: string, head: Buffer): void {
    const facts = parseElf(head);
    if (facts && oldLibc.test(path)) this.refusesOlderKernels = true;
    this.libcArchitecture ??= facts?.architecture;
    const kernel = facts?.minimumKernel;
    if (kernel === undefined) return;
    if (this.libcKernel === undefined || compareVersions(kernel, this.libcKernel) > 0) this.libcKernel = kernel;
  }

  /** What lies behind a link was not looked for; it may hold something. */
  private isBehindLink({ prefix }: { prefix: string }): boolean {
    const path = prefix.slice(0, -1);
    return followLinks(path, (at) => this.links.get(at)) !== path;
  }

  /** What has been seen up to now. */
  survey(): RootfsSurvey {
    const path = followLinks('bin/sh', (at) => this.links.get(at)) ?? '';
    const shell = this.programs.get(path);
    const architecture = shell?.architecture ?? this.libcArchitecture;
    const minimumKernel = this.libcKernel ?? shell?.minimumKernel;
    return {
      entries: this.entries,
      totalBytes: this.totalBytes,
      ...this.tallies,
      filledVolumes: this.volumes
        .filter((volume) => volume.isFilled || this.isBehindLink(volume))
        .map(({ shown }) => shown),
      hasShell: this.programs.has(path),
      ...(architecture === undefined ? {} : { architecture }),
      ...(minimumKernel === undefined ? {} : { minimumKernel }),
      refusesOlderKernels: this.refusesOlderKernels,
      cuda: [...this.cuda].map(([version, found]) => ({ version, source: printImagePath(found) })),
    };
  }
}

function newTally(): Tally {
  return { count: 0, samples: [] };
}

function add(tally: Tally, path: string): void {
  tally.count += 1;
  if (tally.samples.length < sampleCount) tally.samples.push(printImagePath(path));
}
