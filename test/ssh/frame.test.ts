import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameReader, renderFramedCommand } from '../../src/ssh/frame.js';
import { quote } from '../../src/ssh/quote.js';
import { findProgram, runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { anyWord } from '../support/text.js';
import { writeTree } from '../support/write-tree.js';

const marker = 'hpcrun-frame-0123456789abcdef';

/** Pushes bytes in pieces that end at `cuts`. */
const readInPieces = (reader: FrameReader, bytes: Buffer, cuts: number[]) => {
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  const output: Buffer[] = [];
  let from = 0;
  for (const end of ends) {
    output.push(reader.push(bytes.subarray(from, end)));
    from = end;
  }
  return Buffer.concat(output);
};

const someBytes = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
const cuts = fc.array(fc.nat(500), { maxLength: 12 });

describe('FrameReader', () => {
  it('gives the output behind the marker, whatever comes before it and however both are cut', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 100 }), someBytes, cuts, (noise, output, places) => {
        const reader = new FrameReader(marker);
        const bytes = Buffer.concat([Buffer.from(`${noise}${marker}\n`), output]);
        expect(readInPieces(reader, bytes, places)).toEqual(output);
        expect(reader.isOpen).toBe(true);
        expect(reader.noise).toBe(noise);
      }),
    );
  });

  it('finds a marker that is cut at each of its bytes', () => {
    const bytes = Buffer.from(`Welcome!\n${marker}\noutput`);
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      expect(readInPieces(new FrameReader(marker), bytes, [cut]).toString()).toBe('output');
    }
  });

  it('passes a second marker on: it is output', () => {
    const reader = new FrameReader(marker);
    expect(reader.push(Buffer.from(`${marker}\na\n${marker}\nb`)).toString()).toBe(`a\n${marker}\nb`);
    expect(reader.push(Buffer.from(`${marker}\n`)).toString()).toBe(`${marker}\n`);
  });

  it.each(['', 'bash: /bin/sh: Permission denied\n', marker, `${marker} \n`, `X${marker.slice(1)}\n`])(
    'stays closed after %j and keeps it for the error message',
    (noise) => {
      const reader = new FrameReader(marker);
      expect(reader.push(Buffer.from(noise))).toHaveLength(0);
      expect(reader.isOpen).toBe(false);
      expect(reader.noise).toBe(noise);
    },
  );

  it('keeps no more than 64 KiB of noise and still finds the marker', () => {
    const reader = new FrameReader(marker);
    for (let index = 0; index < 10; index += 1) reader.push(Buffer.alloc(50_000, 'x'));
    expect(reader.noise).toHaveLength(65_536);
    expect(reader.push(Buffer.from(`${marker}\nout`)).toString()).toBe('out');
  });
});

describe('renderFramedCommand', () => {
  const shells = ['sh', 'bash', 'zsh', 'tcsh', 'fish'].map((name) => ({ name, path: findProgram(name) }));

  for (const { name, path } of shells) {
    it(`runs a script under /bin/sh from the login shell ${name}, past what its start-up files print`, async (context) => {
      if (path === undefined) return context.skip(`${name} is not installed`);
      const home = await makeTemporaryDirectory();
      const greeting = 'echo Welcome to the cluster';
      await writeTree(home, { '.zshenv': greeting, '.tcshrc': greeting, '.config/fish/config.fish': greeting });
      const script = `read -r line\nprintf '%s|' "$line" "$0" "a'b\\"c" '!x' "$(printf %s ok)"\nexit 7\n`;
      const { stdout, status } = runShell(path, renderFramedCommand(script, marker), {
        input: 'from stdin\n',
        env: { HOME: home },
      });
      const reader = new FrameReader(marker);
      expect(reader.push(Buffer.from(stdout)).toString()).toBe(`from stdin|/bin/sh|a'b"c|!x|ok|`);
      expect(reader.noise).toBe(['zsh', 'tcsh', 'fish'].includes(name) ? 'Welcome to the cluster\n' : '');
      expect(status).toBe(7);
    });

    it(`runs a long script from the login shell ${name}`, async (context) => {
      if (path === undefined) return context.skip(`${name} is not installed`);
      const script = `# ${'x'.repeat(80_000)}\nprintf %s done\n`;
      const env = { HOME: await makeTemporaryDirectory() };
      const { stdout } = runShell(path, renderFramedCommand(script, marker), { env });
      expect(stdout).toBe(`${marker}\ndone`);
    });
  }

  it('carries any word', () => {
    fc.assert(
      fc.property(anyWord, (word) => {
        const command = renderFramedCommand(`printf %s ${quote(word)}`, marker);
        expect(runShell('bash', command).stdout).toBe(`${marker}\n${word}`);
      }),
      { numRuns: 20 },
    );
  });

  it('refuses a script that does not fit into one argument', () => {
    expect(() => renderFramedCommand('x'.repeat(90_001), marker)).toThrow(RangeError);
    // Linux, MAX_ARG_STRLEN
    expect(renderFramedCommand('x'.repeat(89_900), marker).length).toBeLessThan(128 * 1024);
  });
});
