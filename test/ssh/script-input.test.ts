import { Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ScriptInput } from '../../src/ssh/script-input.js';

/** A source that uses one buffer for all of its chunks, and says when it has let go. */
function source(chunks: string[]) {
  const state = { asked: 0, isClosed: false };
  async function* read() {
    const buffer = Buffer.alloc(16);
    try {
      for (const chunk of chunks) {
        await setImmediate();
        state.asked += 1;
        yield buffer.subarray(0, buffer.write(chunk));
      }
    } finally {
      state.isClosed = true;
    }
  }
  return { state, input: new ScriptInput(read()) };
}

/** Takes chunks late, and copies them only then. */
function slowSink(limit = Infinity) {
  const taken: string[] = [];
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      void setImmediate().then(() => {
        taken.push(chunk.toString());
        if (taken.length >= limit) sink.destroy();
        done();
      });
    },
  });
  return { taken, sink };
}

describe('ScriptInput', () => {
  it('asks for a chunk only when the one before it has been taken, since its memory is used again', async () => {
    const { input } = source(['one', 'two', 'three']);
    input.commit();
    const { taken, sink } = slowSink();
    await input.send(sink);
    expect(taken).toEqual(['one', 'two', 'three']);
    expect(sink.writableEnded).toBe(true);
  });

  it('sends again what was sent before the script is known to have started', async () => {
    const { input } = source(['one', 'two', 'three']);
    const first = slowSink(2);
    await input.send(first.sink);
    const second = slowSink();
    await input.send(second.sink);
    expect(first.taken).toEqual(['one', 'two']);
    expect(second.taken).toEqual(['one', 'two', 'three']);
  });

  it('lets its source go when nothing more is sent', async () => {
    const { input, state } = source(['one', 'two', 'three']);
    await input.send(slowSink(1).sink);
    expect(state.isClosed).toBe(false);
    await input.close();
    expect(state).toEqual({ asked: 2, isClosed: true });
  });

  it('fails when its source does', async () => {
    async function* read() {
      yield await Promise.resolve(Buffer.from('one'));
      throw new Error('the disk has gone');
    }
    const { sink } = slowSink();
    await expect(new ScriptInput(read()).send(sink)).rejects.toThrow('the disk has gone');
  });
});
