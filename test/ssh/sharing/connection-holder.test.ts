import { describe, expect, it } from 'vitest';
import { HpcrunError } from '../../../src/errors.js';
import type { Connection } from '../../../src/ssh/connection.js';
import type { Prompter } from '../../../src/ssh/prompter.js';
import { ConnectionHolder } from '../../../src/ssh/sharing/connection-holder.js';
import { answering } from '../../support/answering.js';

/** A connection that breaks when it is told to. */
function breakable(): { connection: Connection; lose: () => void } {
  let lose: () => void = () => undefined;
  const closed = new Promise<void>((resolve) => {
    lose = resolve;
  });
  const unused = () => Promise.reject(new Error('nothing was to be run'));
  const connection = { description: 'ada@claix:22', closed, close: lose, run: unused, stream: unused };
  return { connection, lose };
}

const tell = (text: string, how?: { isNotice: boolean }) => (prompter: Prompter) => {
  prompter.tell(text, how);
};

/** Holds a connection whose login does this, and tells whether anybody was there at each attempt. */
async function holdAfter(login: (prompter: Prompter) => unknown, fails?: HpcrunError) {
  const attempts: ('attended' | 'unattended')[] = [];
  const first = breakable();
  const holder = new ConnectionHolder({
    open: async (prompter) => {
      attempts.push(prompter ? 'attended' : 'unattended');
      if (prompter) {
        await login(prompter);
        return first.connection;
      }
      if (fails) throw fails;
      return breakable().connection;
    },
    log: () => undefined,
    random: () => 0,
  });
  await holder.login(answering('yes'));
  first.lose();
  await expect.poll(() => holder.state).not.toBe('connected');
  return { holder, attempts };
}

describe('a connection that is lost', () => {
  it.each<[string, (prompter: Prompter) => unknown]>([
    ['nothing was asked', () => undefined],
    ['a banner was shown', tell('Authorized use only', { isNotice: true })],
    ['the host key was accepted', (prompter) => prompter.ask('(yes/no) ', { secret: false, isLasting: true })],
  ])('is made anew, with nobody there, if at the first login %s', async (_, login) => {
    const { holder, attempts } = await holdAfter(login);
    expect(holder.state).toBe('reconnecting');
    await expect.poll(() => holder.state, { timeout: 30_000 }).toBe('connected');
    expect(attempts).toEqual(['attended', 'unattended']);
    holder.close();
  });

  it.each<[string, (prompter: Prompter) => unknown]>([
    ['a code was asked for', (prompter) => prompter.ask('Code: ', { secret: true })],
    ['a server wanted an approval', tell('Approve the login on your phone.')],
  ])('stays lost if at the first login %s', async (_, login) => {
    const { holder, attempts } = await holdAfter(login);
    expect(holder.state).toBe('lost');
    await expect(holder.acquire()).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    expect(attempts).toEqual(['attended']);
    holder.close();
  });

  it('stays lost once the server has said no', async () => {
    const refusal = new HpcrunError('LOGIN_FAILED', 'a code is wanted', {});
    const { holder, attempts } = await holdAfter(() => undefined, refusal);
    await expect.poll(() => holder.state, { timeout: 30_000 }).toBe('lost');
    await expect(holder.acquire()).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    expect(attempts).toEqual(['attended', 'unattended']);
    holder.close();
  });
});
