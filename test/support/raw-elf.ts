/** Makes the beginnings of ELF files, for all kinds of machines (System V ABI, "Object Files"). */

export interface RawElf {
  /** e_machine. */
  machine: number;
  bits: 32 | 64;
  order: 'little' | 'big';
  /** For a note of glibc's kind (NT_GNU_ABI_TAG), behind another one. */
  kernel?: [number, number, number];
  /** The note's operating system; 0 is Linux. */
  system?: number;
}

export function renderElf({ machine, bits, order, kernel, system = 0 }: RawElf): Buffer {
  const is64 = bits === 64;
  const isLittle = order === 'little';
  const half = (value: number) => {
    const bytes = Buffer.alloc(2);
    if (isLittle) bytes.writeUInt16LE(value);
    else bytes.writeUInt16BE(value);
    return bytes;
  };
  const word = (value: number) => {
    const bytes = Buffer.alloc(4);
    if (isLittle) bytes.writeUInt32LE(value);
    else bytes.writeUInt32BE(value);
    return bytes;
  };
  const long = (value: number) =>
    is64 ? Buffer.concat(isLittle ? [word(value), word(0)] : [word(0), word(value)]) : word(value);
  const note = (type: number, description: Buffer) =>
    Buffer.concat([word(4), word(description.length), word(type), Buffer.from('GNU\0'), description]);

  const buildId = note(3, Buffer.alloc(20, 0xab));
  const notes = kernel ? Buffer.concat([buildId, note(1, Buffer.concat([system, ...kernel].map(word)))]) : buildId;
  const [headBytes, entryBytes] = is64 ? [64, 56] : [52, 32];
  const start = headBytes + 2 * entryBytes;
  const programHeader = (type: number, size: number) => {
    const place = [long(start), long(start), long(start)];
    return is64
      ? Buffer.concat([word(type), word(4), ...place, long(size), long(size), long(4)])
      : Buffer.concat([word(type), ...place, long(size), long(size), word(4), word(4)]);
  };
  const identity = Buffer.alloc(16);
  identity.write('\x7fELF', 'latin1');
  identity.set([is64 ? 2 : 1, isLittle ? 1 : 2, 1], 4);
  const head = [half(3), half(machine), word(1), long(0), long(headBytes), long(0), word(0)];
  const sizes = [headBytes, entryBytes, 2, 0, 0, 0].map(half);
  return Buffer.concat([
    identity,
    ...head,
    ...sizes,
    programHeader(1, notes.length),
    programHeader(4, notes.length),
    notes,
  ]);
}
