import { HpcrunError } from '../errors.js';
import {
  blockBytes,
  isEndBlock,
  paddedBytes,
  parsePaxRecords,
  parseTarHeader,
  patchTarHeader,
  renderTarEntry,
  type TarEntry,
  type TarHeader,
} from './tar-header.js';

// A pax header holds names and extended attributes; more than this is not one.
const maximumHeldBytes = 16 << 20;

// Made by the engine for the container it was asked to create, or meant to be empty in an image.
const dropped =
  /^(?:\.dockerenv|run\/\.containerenv|(?:dev|proc|sys)\/.+|etc\/(?:hosts|hostname|resolv\.conf)|\.singularity\.d(?:\/.*)?)$/s;

// Creating the stubs above touches these directories, so that their times tell when the export was made.
const touchedByEngine = new Set(['', 'etc', 'dev', 'proc', 'sys', 'run', 'etc/mtab']);

// What Apptainer mounts over or writes to and what therefore has to exist (facts from its documentation on bind paths).
const required: TarEntry[] = [
  ...['dev', 'proc', 'sys', 'home', 'root', 'etc', 'var'].map((path) => directory(path, 0o755)),
  ...['tmp', 'var/tmp'].map((path) => directory(path, 0o1777)),
  ...['etc/hosts', 'etc/hostname', 'etc/resolv.conf', 'etc/passwd', 'etc/group'].map((path) => emptyFile(path)),
];

function directory(path: string, mode: number): TarEntry {
  return { path, mode, content: { type: 'directory' } };
}

function emptyFile(path: string): TarEntry {
  return { path, mode: 0o644, content: { type: 'file', bytes: Buffer.alloc(0) } };
}

/** Read and search permission for everybody where the owner has it: in a job, nobody is root. */
export function openToAll(mode: number): number {
  return mode | ((mode & 0o500) >> 3) | ((mode & 0o500) >> 6);
}

function normalize(path: string): string {
  return path
    .replace(/^(?:\.?\/)+/, '')
    .replace(/^\.$/, '')
    .replace(/\/+$/, '');
}

/**
 * Turns an engine's export into the root file system of a SIF, as it streams: the engine's stubs are left out, modes
 * opened to all, missing mount points and `additions` appended. Entries keep their order and every byte that is not
 * meant to change, names that are not UTF-8 and extended attributes included. The chunks of `source` are patched in
 * place. Throws CONVERSION_FAILED if the tar ends early or is malformed.
 */
export async function* rewriteRootfs(source: AsyncIterable<Buffer>, additions: TarEntry[]): AsyncGenerator<Buffer> {
  const rewriter = new Rewriter();
  for await (const chunk of source) yield* rewriter.push(chunk);
  rewriter.assertEnded();
  const missing = required.filter(({ path }) => !rewriter.seen.has(path));
  for (const entry of [...missing, ...additions]) yield renderTarEntry(entry);
  yield Buffer.alloc(2 * blockBytes);
}

class Rewriter {
  /** Paths of `required` that were passed on. */
  readonly seen = new Set<string>();
  private readonly requiredPaths = new Set(required.map(({ path }) => path));
  private partial: Buffer = Buffer.alloc(0);
  private ended = false;
  private bodyLeft = 0;
  private body: 'pass' | 'drop' | 'hold' = 'pass';
  /** Headers that belong to the next entry, held back until it is known whether that one is kept. */
  private held: Buffer[] = [];
  private heldBytes = 0;
  private holding: { type: string; size: number; from: number } | undefined;
  private overrides: { path?: string; size?: number } = {};

  *push(incoming: Buffer): Generator<Buffer> {
    if (this.ended) return;
    let chunk = incoming;
    if (this.partial.length > 0) {
      chunk = Buffer.concat([this.partial, incoming]);
      this.partial = Buffer.alloc(0);
    }
    // chunk[from, at) is to be passed on and has not been yet.
    let from = 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.bodyLeft > 0) {
        const taken = Math.min(this.bodyLeft, chunk.length - at);
        if (this.body === 'hold') this.hold(Buffer.from(chunk.subarray(at, at + taken)));
        at += taken;
        this.bodyLeft -= taken;
        if (this.body !== 'pass') from = at;
        if (this.bodyLeft === 0) this.finishHolding();
        continue;
      }
      if (chunk.length - at < blockBytes) {
        this.partial = Buffer.from(chunk.subarray(at));
        break;
      }
      const block = chunk.subarray(at, at + blockBytes);
      if (isEndBlock(block)) {
        this.ended = true;
        break;
      }
      const decision = this.decide(block);
      if (decision !== 'pass' || this.held.length > 0) {
        if (at > from) yield chunk.subarray(from, at);
        from = decision === 'pass' ? at : at + blockBytes;
      }
      if (decision === 'hold') this.hold(Buffer.from(block));
      else {
        if (decision === 'pass') yield* this.held;
        this.held = [];
        this.heldBytes = 0;
        this.overrides = {};
      }
      this.body = decision;
      at += blockBytes;
    }
    if (at > from) yield chunk.subarray(from, at);
  }

  assertEnded(): void {
    if (!this.ended) throw malformed('the export ended before its last entry');
  }

  private decide(block: Buffer): 'pass' | 'drop' | 'hold' {
    const header = parseTarHeader(block);
    if (Number.isNaN(header.size) || Number.isNaN(header.mode)) throw malformed('a header is not a tar header');
    if (header.type === 'x' || header.type === 'L' || header.type === 'K') {
      this.holding = { type: header.type, size: header.size, from: this.held.length + 1 };
      this.bodyLeft = paddedBytes(header.size);
      if (this.bodyLeft === 0) this.holding = undefined;
      return 'hold';
    }
    if (header.type === 'S') throw malformed('it holds an old GNU sparse entry, which no engine writes');
    // Links and devices have no body, whatever their size field says.
    this.bodyLeft = /[123456]/.test(header.type) ? 0 : paddedBytes(this.overrides.size ?? header.size);
    if (header.type === 'g') return 'pass';
    const path = normalize(this.overrides.path ?? header.path);
    if (dropped.test(path)) return 'drop';
    if (this.requiredPaths.has(path)) this.seen.add(path);
    patch(block, header, path);
    return 'pass';
  }

  private hold(part: Buffer): void {
    this.heldBytes += part.length;
    if (this.heldBytes > maximumHeldBytes) throw malformed('an extended header is larger than 16 MiB');
    this.held.push(part);
  }

  private finishHolding(): void {
    if (!this.holding) return;
    const { type, size, from } = this.holding;
    this.holding = undefined;
    const body = Buffer.concat(this.held.slice(from)).subarray(0, size);
    if (type === 'L') this.overrides.path = body.toString('latin1').replace(/\0.*$/s, '');
    if (type !== 'x') return;
    const records = parsePaxRecords(body);
    if (!records) throw malformed('an extended header is malformed');
    const path = records.get('path');
    const length = records.get('size');
    if (path !== undefined) this.overrides.path = path;
    if (length !== undefined) this.overrides.size = Number(length);
  }
}

function patch(block: Buffer, header: TarHeader, path: string): void {
  const mode = header.type === '2' ? header.mode : openToAll(header.mode);
  if (touchedByEngine.has(path)) patchTarHeader(block, { mode, mtime: 0 });
  else if (mode !== header.mode) patchTarHeader(block, { mode });
}

function malformed(problem: string): HpcrunError {
  return new HpcrunError('CONVERSION_FAILED', `the image's file system could not be read: ${problem}`, {
    hint: 'Run the command again; if it happens again, check the engine with "docker info" and its free disk space.',
  });
}
