/** The little of ELF files that tells where they run (System V ABI, "Object Files"; elf(5)). */

export interface ElfFacts {
  /** Go's name of the architecture; undefined for one that has none here. */
  architecture: string | undefined;
  /** The oldest Linux that the file runs on, such as `3.2.0`, as glibc notes it in what is linked with it; undefined without a note. */
  minimumKernel: string | undefined;
}

const programHeaderNote = 4;
// NT_GNU_ABI_TAG (gABI supplement; glibc's sysdeps/generic/abi-tag.h): name "GNU", four words, the first 0 for Linux.
const abiTag = 1;

/** Go's names by e_machine, class (1 of 32 bits, 2 of 64) and byte order (1 little-endian, 2 big-endian). */
const architectures: Record<string, string> = {
  '3 1 1': '386',
  '8 1 2': 'mips',
  '8 1 1': 'mipsle',
  '8 2 1': 'mips64le',
  '21 2 1': 'ppc64le',
  '21 2 2': 'ppc64',
  '22 2 2': 's390x',
  '40 1 1': 'arm',
  '62 2 1': 'amd64',
  '183 2 1': 'arm64',
  '243 2 1': 'riscv64',
  '258 2 1': 'loong64',
};

/**
 * What the first bytes of a file tell; undefined for what is no ELF file. In 4 KiB there is the note of every program, and of
 * the C library itself up to glibc 2.36 or so, which later has it at its end.
 */
export function parseElf(head: Buffer): ElfFacts | undefined {
  if (head.length < 52 || head.toString('latin1', 0, 4) !== '\x7fELF') return undefined;
  const [bits, order] = [head[4], head[5]];
  const read = new ElfReader(head, bits === 2, order === 1);
  const architecture = architectures[`${read.half(18)} ${bits ?? 0} ${order ?? 0}`];
  return { architecture, minimumKernel: findMinimumKernel(read) };
}

/** Reads numbers; 0 for what lies behind the end. */
class ElfReader {
  constructor(
    readonly bytes: Buffer,
    readonly is64: boolean,
    private readonly isLittle: boolean,
  ) {}

  half(at: number): number {
    if (at + 2 > this.bytes.length) return 0;
    return this.isLittle ? this.bytes.readUInt16LE(at) : this.bytes.readUInt16BE(at);
  }

  word(at: number): number {
    if (at + 4 > this.bytes.length) return 0;
    return this.isLittle ? this.bytes.readUInt32LE(at) : this.bytes.readUInt32BE(at);
  }

  /** An offset or size, of 32 or 64 bits. */
  offset(at: number): number {
    if (!this.is64) return this.word(at);
    const [low, high] = this.isLittle ? [at, at + 4] : [at + 4, at];
    return this.word(low) + this.word(high) * 2 ** 32;
  }
}

function findMinimumKernel(read: ElfReader): string | undefined {
  const table = read.offset(read.is64 ? 32 : 28);
  const entryBytes = read.half(read.is64 ? 54 : 42);
  const count = read.half(read.is64 ? 56 : 44);
  if (entryBytes === 0) return undefined;
  for (let index = 0; index < count; index += 1) {
    const at = table + index * entryBytes;
    if (at >= read.bytes.length) return undefined;
    if (read.word(at) !== programHeaderNote) continue;
    const start = read.offset(at + (read.is64 ? 8 : 4));
    const size = read.offset(at + (read.is64 ? 32 : 16));
    const found = findAbiTag(read, start, Math.min(start + size, read.bytes.length));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Notes follow each other: the lengths of name and description, the type, and both padded to 4 bytes. */
function findAbiTag(read: ElfReader, start: number, end: number): string | undefined {
  for (let at = start; at + 12 <= end;) {
    const [nameBytes, descriptionBytes, type] = [read.word(at), read.word(at + 4), read.word(at + 8)];
    const description = at + 12 + paddedTo4(nameBytes);
    const next = description + paddedTo4(descriptionBytes);
    const name = read.bytes.toString('latin1', at + 12, at + 12 + nameBytes);
    if (type === abiTag && name === 'GNU\0' && descriptionBytes >= 16 && next <= end && read.word(description) === 0)
      return [4, 8, 12].map((offset) => read.word(description + offset)).join('.');
    at = next;
  }
  return undefined;
}

function paddedTo4(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
