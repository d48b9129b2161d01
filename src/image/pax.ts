/** The records of pax extended headers (POSIX pax interchange format). Text holds one character a byte. */

export type PaxRecord = readonly [key: string, value: string];

/** The records in order, repeated keys as often as they come; undefined if they are malformed. */
export function parsePaxRecords(body: Buffer): PaxRecord[] | undefined {
  const records: PaxRecord[] = [];
  for (let offset = 0; offset < body.length && body[offset] !== 0;) {
    const space = body.indexOf(0x20, offset);
    const digits = body.toString('latin1', offset, space);
    const length = Number(digits);
    if (space === -1 || !/^\d+$/.test(digits) || length < 5 || offset + length > body.length) return undefined;
    const record = body.toString('latin1', space + 1, offset + length - 1);
    const equals = record.indexOf('=');
    records.push([record.slice(0, equals), record.slice(equals + 1)]);
    offset += length;
  }
  return records;
}

export function renderPaxRecords(records: readonly PaxRecord[]): string {
  return records.map(([key, value]) => renderRecord(` ${key}=${value}\n`)).join('');
}

/** Puts the length in front, which counts its own digits. */
function renderRecord(rest: string): string {
  const length = rest.length + String(rest.length).length;
  return `${rest.length + String(length).length}${rest}`;
}
