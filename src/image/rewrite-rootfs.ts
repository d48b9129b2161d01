import { hardLinkTarget, type EntryExtensions } from './entry-extensions.js';
import { isLeftOut, isTouchedByEngine } from './engine-stubs.js';
import { imagePathOf, normalizeTarPath } from './image-path.js';
import { MissingEntries } from './missing-entries.js';
import { SparseExpander, type SparseLayout } from './sparse.js';
import {
  blockBytes,
  hasBinaryTime,
  hasGnuTimes,
  paddedBytes,
  parseLinkTarget,
  parseOwner,
  parseTime,
  patchTarHeader,
  renderTarEntry,
  type TarEntry,
  type TarHeader,
} from './tar-header.js';
import { TarRewriter, type Verdict } from './tar-rewriter.js';

export { isLeftOut, isTouchedByEngine };

/** How much of a file's beginning an observer may see. */
const headBytes = 4096;

// Of files that are left out, as much is kept for hard links to them.
const maximumStubBytes = 16 << 20;

// squashfs keeps times in 32 bits without a sign.
const maximumTime = 0xffffffff;

/** An entry of the image as the engine exported it. Text is one character a byte. */
export interface RootfsEntry {
  /** Relative to the root, without a slash behind; empty for the root itself. */
  path: string;
  /** As in TarHeader. */
  type: string;
  /** Permissions, setuid, setgid and sticky; not what `permissions` makes of them. */
  mode: number;
  uid: number;
  gid: number;
  /** Of a file; 0 for everything else. */
  size: number;
  /** Seconds since 1970. */
  mtime: number;
  /** Of symlinks as stored, of hard links the path of the other name; empty for everything else. */
  linkTarget: string;
  hasCapability: boolean;
}

/** Is given the first 4 KiB of a file, or all of a smaller one. The bytes are good for the time of the call only. */
export type HeadReader = (head: Buffer) => void;

export interface RewriteOptions {
  /** `open`: everybody may read and search what the owner may. `keep`: modes stay. */
  permissions: 'open' | 'keep';
  /** Absolute paths of directories to be made, with their parents, where the image lacks them. */
  directories: string[];
  /** Absolute paths whose modification time becomes 0, because the engine touches them. */
  normalizedPaths: string[];
  /** The source holds some entries of an image only, so that what it lacks is not missing. */
  isPartial?: boolean;
  /** Sees every entry that is kept, in order. May return a reader for the beginning of a file. */
  observe?: (entry: RootfsEntry) => HeadReader | undefined;
}

/** Read and search permission for everybody where the owner has it: in a job, nobody is root. */
export function openToAll(mode: number): number {
  return mode | ((mode & 0o500) >> 3) | ((mode & 0o500) >> 6);
}

/**
 * Turns an engine's export into the root file system of a SIF, as it streams: the engine's stubs are left out, modes
 * opened to all, missing mount points, `directories` and `additions` appended. Entries keep their order and every byte
 * that is not meant to change, names that are not UTF-8 and extended attributes included. What mksquashfs 4.5 would
 * misread (its tar.c) is told it in another form: link targets, times and sparse files. A hard link to a stub becomes a
 * file of its own. The chunks of `source` are patched in place. Throws CONVERSION_FAILED if the tar ends early or is
 * malformed.
 */
export async function* rewriteRootfs(
  source: AsyncIterable<Buffer>,
  additions: TarEntry[],
  options: RewriteOptions,
): AsyncGenerator<Buffer> {
  const missing = new MissingEntries(options.directories);
  const rules = new RootfsRules(options, missing);
  const rewriter = new TarRewriter((...entry) => rules.judge(...entry));
  for await (const chunk of source) yield* rewriter.push(chunk);
  rewriter.assertEnded();
  const made = options.isPartial === true ? [] : missing.list();
  for (const entry of [...made, ...additions]) yield renderTarEntry(entry);
  yield Buffer.alloc(2 * blockBytes);
}

const keptAsItCame: Verdict = { isKept: true };
const leftOut: Verdict = { isKept: false };

/** An entry with what its headers say of it. */
interface Subject {
  block: Buffer;
  header: TarHeader;
  extensions: EntryExtensions | undefined;
  sparse: SparseLayout | undefined;
  path: string;
  type: string;
  linkTarget: string;
  sizeBytes: number;
}

class RootfsRules {
  private readonly normalized: Set<string>;
  /** What was in files that are left out. */
  private readonly stubs = new Map<string, Buffer>();
  private stubBytes = 0;

  constructor(
    private readonly options: RewriteOptions,
    private readonly missing: MissingEntries,
  ) {
    this.normalized = new Set(options.normalizedPaths.map(imagePathOf));
  }

  judge(block: Buffer, header: TarHeader, extensions: EntryExtensions | undefined, storedBytes: number): Verdict {
    const sparse = extensions?.sparseLayout();
    const storedPath = sparse?.name ?? extensions?.path ?? header.path;
    const path = normalizeTarPath(storedPath);
    // Before POSIX, a directory was a file with a slash behind its name.
    const type = header.type === '0' && storedPath.endsWith('/') ? '5' : header.type;
    if (isLeftOut(path)) return this.dropStub(path, sparse ? '' : type, storedBytes);
    const storedTarget = type === '1' || type === '2' ? (extensions?.linkTarget ?? parseLinkTarget(block)) : '';
    const linkTarget = type === '1' ? hardLinkTarget(storedTarget) : storedTarget;
    const sizeBytes = sparse?.realSize ?? storedBytes;
    const subject: Subject = { block, header, extensions, sparse, path, type, linkTarget, sizeBytes };
    if (type === '1' && isLeftOut(linkTarget)) return this.keepStub(subject);
    const expander = sparse && new SparseExpander(sparse);
    this.missing.add(path, type, linkTarget);
    const read = this.show(subject);
    const isRendered =
      extensions !== undefined &&
      (extensions.isMisread ||
        sparse !== undefined ||
        (extensions.linkTarget !== undefined && linkTarget !== storedTarget) ||
        (extensions.mtime !== undefined && this.isTimeless(path)));
    this.patch(subject, isRendered);
    if (!isRendered && !read) return keptAsItCame;
    return {
      isKept: true,
      extended: isRendered ? renderExtensions(subject) : undefined,
      reader: read && !sparse ? { bytes: Math.min(headBytes, storedBytes), read } : undefined,
      expander,
    };
  }

  private isTimeless(path: string): boolean {
    return isTouchedByEngine(path) || this.normalized.has(path);
  }

  private dropStub(path: string, type: string, storedBytes: number): Verdict {
    if (type !== '0' || this.stubBytes + storedBytes > maximumStubBytes) return leftOut;
    const read = (bytes: Buffer) => {
      this.stubBytes += bytes.length;
      this.stubs.set(path, Buffer.from(bytes));
    };
    return { isKept: false, reader: { bytes: storedBytes, read } };
  }

  /** A hard link to what was left out: a file takes its content over, anything else goes with it. */
  private keepStub(link: Subject): Verdict {
    const bytes = this.stubs.get(link.linkTarget);
    if (!bytes) return leftOut;
    const file: Subject = { ...link, type: '0', linkTarget: '', sizeBytes: bytes.length };
    this.missing.add(file.path, file.type, '');
    this.show(file)?.(bytes.subarray(0, headBytes));
    this.patch(file, true);
    patchTarHeader(file.block, { type: '0', size: bytes.length, linkTarget: '' });
    return {
      isKept: true,
      extended: renderExtensions(file),
      added: Buffer.concat([bytes], paddedBytes(bytes.length)),
    };
  }

  private show({ block, header, extensions, path, type, linkTarget, sizeBytes }: Subject): HeadReader | undefined {
    if (!this.options.observe) return undefined;
    const owner = parseOwner(block);
    return this.options.observe({
      path,
      type,
      mode: header.mode & 0o7777,
      uid: extensions?.uid ?? owner.uid,
      gid: extensions?.gid ?? owner.gid,
      size: sizeBytes,
      mtime: extensions?.mtime ?? parseTime(block),
      linkTarget,
      hasCapability: extensions?.hasCapability ?? false,
    });
  }

  /** Changes the header where it has to be; `isRendered` if no pax header tells its time any more. */
  private patch({ block, header, extensions, sparse, path, type }: Subject, isRendered: boolean): void {
    const isOpened = this.options.permissions === 'open' && type !== '2';
    const mode = isOpened ? openToAll(header.mode) : header.mode;
    let mtime: number | undefined;
    if (this.isTimeless(path)) mtime = 0;
    else if (isRendered && extensions?.mtime !== undefined) mtime = storableTime(extensions.mtime);
    else if (hasBinaryTime(block)) mtime = storableTime(parseTime(block));
    const clearGnuTimes = hasGnuTimes(block);
    if (mode === header.mode && mtime === undefined && !sparse && !clearGnuTimes) return;
    patchTarHeader(block, { mode, mtime, size: sparse?.realSize, clearGnuTimes });
  }
}

function renderExtensions({ extensions, sparse, path, linkTarget }: Subject): Buffer[] {
  if (!extensions) return [];
  const hasLongName = extensions.path !== undefined || sparse !== undefined;
  return extensions.render({
    // mksquashfs refuses an empty name here, and ignores the root wherever it comes.
    path: hasLongName && path !== '' ? path : undefined,
    linkTarget: extensions.linkTarget !== undefined && linkTarget !== '' ? linkTarget : undefined,
    isSparse: sparse !== undefined,
  });
}

function storableTime(seconds: number): number {
  return Math.min(Math.max(Number.isNaN(seconds) ? 0 : seconds, 0), maximumTime);
}
