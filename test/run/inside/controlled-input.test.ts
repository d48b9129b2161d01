import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ControlledInput } from '../../../src/run/inside/controlled-input.js';

/** What has come until `words` end it. */
async function readUntil(input: Readable, words: string): Promise<string> {
  let read = '';
  for await (const chunk of input as AsyncIterable<Buffer>) {
    read += chunk.toString('latin1');
    if (read.endsWith(words)) return read;
  }
  throw new Error(`it ended with ${JSON.stringify(read.slice(-100))}`);
}

describe('ControlledInput', () => {
  it('sends blocks with their lengths, and the end of them', async () => {
    const input = new ControlledInput(Readable.from([Buffer.from('a\nb'), Buffer.alloc(70_000, 'x')]));
    expect(await readUntil(input, 'end\n')).toBe(`3\na\nb65536\n${'x'.repeat(65_536)}4464\n${'x'.repeat(4464)}end\n`);
  });

  it('has nothing to send but signals where there is no input', async () => {
    const input = new ControlledInput(undefined);
    input.signal('INT');
    expect(await readUntil(input, 'INT\n')).toBe('end\nINT\n');
  });

  it('sends signals after what was sent before, and also when the input has ended', async () => {
    const source = new PassThrough();
    const input = new ControlledInput(source);
    source.end('first');
    source.once('end', () => {
      setImmediate(() => {
        input.signal('TERM');
      });
    });
    expect(await readUntil(input, 'TERM\n')).toBe('5\nfirstend\nTERM\n');
  });
});
