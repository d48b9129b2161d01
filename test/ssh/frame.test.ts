import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameReader, inputTakenStatus, renderFramedCommand } from '../../src/ssh/frame.js';
import { quote } from '../../src/ssh/quote.js';
import { findProgram, runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { anyWord } from '../support/text.js';
import { writeTree } from '../support/write-tree.js';

const marker = 'hpcrun-frame-0123456789abcdef';
const unguarded = { isGuarded: false };

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

// Bytes of all kinds, and what looks like the marker and is not.
const piece = fc.oneof(
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  fc.string({ maxLength: 40 }).map((text) => Buffer.from(text)),
  fc.nat(marker.length - 1).map((length) => Buffer.from(marker.slice(0, length))),
  fc
    .constantFrom(`${marker} `, `${marker}x:0`, `${marker}${marker.slice(0, -1)}`, ':0\n', '\n')
    .map((text) => Buffer.from(text)),
);
const output = fc.array(piece, { maxLength: 5 }).map((pieces) => Buffer.concat(pieces));
const noise = output;
const cuts = fc.array(fc.nat(500), { maxLength: 12 });

describe('FrameReader', () => {
  it('gives the output between the markers, whatever comes before and after and however all is cut', () => {
    const status = fc.integer({ min: 0, max: 255 });
    fc.assert(
      fc.property(noise, output, status, noise, cuts, (before, own, code, after, places) => {
        const reader = new FrameReader(marker);
        const bytes = Buffer.concat([
          before,
          Buffer.from(`${marker}\n`),
          own,
          Buffer.from(`${marker}:${code}\n`),
          after,
        ]);
        expect(readInPieces(reader, bytes, places)).toEqual(own);
        expect(reader.status).toBe(code);
        expect(reader.noise).toBe(before.toString('utf8'));
        expect(reader.flush()).toHaveLength(0);
      }),
      { numRuns: 500 },
    );
  });

  it('gives all of the output of a script that never came to its end', () => {
    fc.assert(
      fc.property(noise, output, cuts, (before, own, places) => {
        const reader = new FrameReader(marker);
        const bytes = Buffer.concat([before, Buffer.from(`${marker}\n`), own]);
        expect(Buffer.concat([readInPieces(reader, bytes, places), reader.flush()])).toEqual(own);
        expect(reader.status).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });

  it('holds back nothing that cannot belong to the marker', () => {
    const reader = new FrameReader(marker);
    expect(reader.push(Buffer.from(`${marker}\nline\n`)).toString()).toBe('line\n');
    expect(reader.push(Buffer.from('hpcrun-frame')).toString()).toBe('');
    expect(reader.push(Buffer.from('s\n')).toString()).toBe('hpcrun-frames\n');
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
      const { stdout, status } = runShell(path, renderFramedCommand(script, marker, unguarded), {
        input: 'from stdin\n',
        env: { HOME: home },
      });
      const reader = new FrameReader(marker);
      expect(reader.push(Buffer.from(stdout)).toString()).toBe(`from stdin|/bin/sh|a'b"c|!x|ok|`);
      expect(reader.status).toBe(7);
      expect(reader.noise).toBe(['zsh', 'tcsh', 'fish'].includes(name) ? 'Welcome to the cluster\n' : '');
      expect(status).toBe(7);
    });

    it(`runs a long script from the login shell ${name}`, async (context) => {
      if (path === undefined) return context.skip(`${name} is not installed`);
      const script = `# ${'x'.repeat(80_000)}\nprintf %s done\n`;
      const env = { HOME: await makeTemporaryDirectory() };
      const { stdout } = runShell(path, renderFramedCommand(script, marker, unguarded), { env });
      expect(stdout).toBe(`${marker}\ndone${marker}:0\n`);
    });
  }

  it('carries any word', () => {
    fc.assert(
      fc.property(anyWord, (word) => {
        const command = renderFramedCommand(`printf %s ${quote(word)}`, marker, unguarded);
        expect(runShell('bash', command).stdout).toBe(`${marker}\n${word}${marker}:0\n`);
      }),
      { numRuns: 20 },
    );
  });

  it.each([
    ['exit 97\nrest\n', 0, 'rest'],
    ['rest\n', inputTakenStatus, ''],
    ['', inputTakenStatus, ''],
  ])('takes the guard line away from the input %j, or ends without opening the frame', (input, expected, own) => {
    const { stdout, status } = runShell(
      'sh',
      renderFramedCommand('read -r l; printf %s "$l"', marker, { isGuarded: true }),
      { input },
    );
    const reader = new FrameReader(marker);
    expect(reader.push(Buffer.from(stdout)).toString()).toBe(own);
    expect([status, reader.isOpen]).toEqual([expected, expected === 0]);
  });

  it('finds base64 where a start-up file has spoilt PATH, and ends the frame of a script that kills itself', () => {
    const run = (script: string, env: Record<string, string> = {}) => {
      const { stdout } = runShell('/bin/sh', renderFramedCommand(script, marker, unguarded), { env });
      const reader = new FrameReader(marker);
      return [reader.push(Buffer.from(stdout)).toString(), reader.status];
    };
    expect(run('printf %s ok', { PATH: '/nonexistent' })).toEqual(['ok', 0]);
    expect(run('exec sh -c "printf gone; kill -9 \\$\\$"')).toEqual(['gone', 137]);
    expect(run('trap "printf bye" EXIT; exit 3')).toEqual(['bye', 3]);
    expect(run('printf before; if')[1]).toBe(2);
  });

  it('refuses a script that does not fit into one argument', () => {
    expect(() => renderFramedCommand('x'.repeat(90_001), marker, unguarded)).toThrow(RangeError);
    // Linux, MAX_ARG_STRLEN
    expect(renderFramedCommand('x'.repeat(90_000), marker, unguarded).length).toBeLessThan(128 * 1024);
  });
});
