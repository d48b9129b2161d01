import { createHash } from 'node:crypto';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestScript, FarDigestReader, type FarFact } from '../../src/transfer/far-digests.js';
import { runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

function read(output: string, size: number): FarFact[] {
  const facts: FarFact[] = [];
  const reader = new FarDigestReader((fact) => facts.push(fact));
  const bytes = Buffer.from(output, 'utf8');
  for (let from = 0; from < bytes.length; from += size) reader.push(bytes.subarray(from, from + size));
  return facts;
}

describe('digestScript', () => {
  it('tells digest and state of every file, whatever its name, and passes over what is gone', async () => {
    const directory = await makeTemporaryDirectory();
    mkdirSync(join(directory, 'work'));
    const names = ['plain', 'new\nline', 'back\\slash', 'ünï cødé', '-dash', '\\n'].map((name) => `work/${name}`);
    for (const name of names) {
      writeFileSync(join(directory, name), name);
      utimesSync(join(directory, name), 1_700_000_000.25, 1_700_000_000.25);
    }
    const input = [...names, 'work/gone'].map((name) => `${name}\0`).join('');
    const { stdout } = runShell('/bin/sh', digestScript, { cwd: directory, input, env: { LC_ALL: 'C' } });
    for (const size of [1 << 20, 1]) {
      const facts = read(stdout, size);
      expect(facts.filter(({ type }) => type === 'digest')).toEqual(
        names.map((source) => ({
          type: 'digest',
          source,
          sha256: createHash('sha256').update(source).digest('hex'),
        })),
      );
      expect(facts.filter(({ type }) => type === 'state')).toEqual(
        names.map((source) => ({
          type: 'state',
          source,
          sizeBytes: Buffer.byteLength(source),
          mtime: 1_700_000_000.25,
        })),
      );
    }
  });

  it('tells of many files in several rounds', async () => {
    const directory = await makeTemporaryDirectory();
    mkdirSync(join(directory, 'work'));
    const names = Array.from({ length: 3000 }, (_, index) => `work/${'x'.repeat(100)}-${index}`);
    for (const name of names) writeFileSync(join(directory, name), '');
    const input = names.map((name) => `${name}\0`).join('');
    const { stdout } = runShell('/bin/sh', digestScript, { cwd: directory, input });
    const facts = read(stdout, 1000);
    for (const type of ['digest', 'state']) {
      expect(facts.filter((fact) => fact.type === type).map(({ source }) => source)).toEqual(names);
    }
  });
});
