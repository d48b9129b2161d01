import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePaxRecords, renderPaxRecords } from '../../src/image/pax.js';
import { paxRecord } from '../support/raw-tar.js';

describe('parsePaxRecords', () => {
  it('reads back any records', () => {
    const text = fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
    const key = fc.stringMatching(/^[A-Za-z.]{1,20}$/);
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(key, text), { selector: ([name]) => name, maxLength: 8 }), (records) => {
        const body = Buffer.from(records.map(([name, value]) => paxRecord(name, value)).join(''), 'latin1');
        expect(parsePaxRecords(body)).toEqual(records);
        expect(Buffer.from(renderPaxRecords(records), 'latin1')).toEqual(body);
        expect(parsePaxRecords(Buffer.concat([body, Buffer.alloc(50)]))).toEqual(records);
      }),
    );
  });

  it.each(['x', '99 path=a\n', '5 =\n\nabc', '0 path=a\n', ' path=a\n', '-5 path=a\n', '1e1 path=a\n'])(
    'refuses %j',
    (body) => {
      expect(parsePaxRecords(Buffer.from(body))).toBeUndefined();
    },
  );
});
