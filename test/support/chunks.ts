/** A stream of the bytes in pieces of the given sizes, over and over. Each piece is a copy: readers may write into it. */
export async function* inPieces(bytes: Buffer, sizes: number[]): AsyncGenerator<Buffer> {
  await Promise.resolve();
  for (let from = 0, index = 0; from < bytes.length; index += 1) {
    const size = sizes[index % sizes.length] ?? bytes.length;
    yield Buffer.from(bytes.subarray(from, from + size));
    from += size;
  }
}

/** Everything a stream of bytes gives, in one piece. The types of some streams do not say what they are made of. */
export async function collect(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks);
}
