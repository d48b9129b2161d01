/** What the far side says of a file after it has read it. */
export type FarFact =
  | { type: 'digest'; source: string; sha256: string }
  | { type: 'state'; source: string; sizeBytes: number; mtime: number };

/**
 * A script that reads NUL-separated names from its input and prints the sha256 of each file, and then, so that a change
 * meanwhile can be seen, its size and time: as many at a time as fit into one command line, with two processes for them.
 * Where the connection has ended, 255 ends xargs.
 */
export const digestScript = `xargs -0 sh -c 'sha256sum -- "$@"; echo || exit 255; find "$@" -maxdepth 0 -printf "%s %T@ %p\\\\0"; printf "\\\\0"' sh
`;

/** Reads what `digestScript` prints, in pieces of any size; what it cannot read, it passes over. */
export class FarDigestReader {
  private rest: Buffer = Buffer.alloc(0);
  private isListingStates = false;

  constructor(private readonly onFact: (fact: FarFact) => void) {}

  push(chunk: Buffer): void {
    const bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    let from = 0;
    for (;;) {
      const end = bytes.indexOf(this.isListingStates ? 0 : 0x0a, from);
      if (end === -1) break;
      const line = bytes.toString('utf8', from, end);
      from = end + 1;
      // An empty line or record stands between the two kinds.
      if (line === '') this.isListingStates = !this.isListingStates;
      else {
        const fact = this.isListingStates ? parseState(line) : parseDigest(line);
        if (fact) this.onFact(fact);
      }
    }
    this.rest = Buffer.from(bytes.subarray(from));
  }
}

/** A line of sha256sum: a backslash in front says that backslashes and newlines in the name are escaped (coreutils manual). */
function parseDigest(line: string): FarFact | undefined {
  const match = /^(\\?)([0-9a-f]{64}) [ *](.+)$/s.exec(line);
  if (match?.[2] === undefined || match[3] === undefined) return undefined;
  const source = match[1] === '' ? match[3] : unescapeName(match[3]);
  return { type: 'digest', source, sha256: match[2] };
}

function unescapeName(name: string): string {
  const characters: Record<string, string> = { '\\\\': '\\', '\\n': '\n', '\\r': '\r' };
  return name.replace(/\\[\\nr]/g, (escaped) => characters[escaped] ?? escaped);
}

function parseState(record: string): FarFact | undefined {
  const match = /^(\d+) (-?[\d.]+) (.+)$/s.exec(record);
  if (match?.[3] === undefined) return undefined;
  return { type: 'state', source: match[3], sizeBytes: Number(match[1]), mtime: Number(match[2]) };
}
