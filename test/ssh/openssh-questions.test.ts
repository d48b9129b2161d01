import { describe, expect, it } from 'vitest';
import { interrupted } from '../../src/errors.js';
import { OpensshQuestions } from '../../src/ssh/openssh-questions.js';
import { noPrompter, type Prompter } from '../../src/ssh/prompter.js';

function recording(answer: string): Prompter & { heard: string[] } {
  const heard: string[] = [];
  return {
    heard,
    tell: (text) => void heard.push(`tell ${text}`),
    ask: (question, { secret }) => {
      heard.push(`${secret ? 'secret' : 'ask'} ${question}`);
      return Promise.resolve(answer);
    },
  };
}

describe('OpensshQuestions', () => {
  it('shows what the server said, with control characters made visible, and asks in secret', async () => {
    const prompter = recording('123456');
    const questions = new OpensshQuestions(prompter, () => 'Welcome\u001b[2J\n');
    const answer = await questions.answer({ prompt: '(ada@login) Your\u001b[1A code: ', hint: undefined });
    expect(answer).toBe('123456');
    expect(prompter.heard).toEqual(['tell (ssh) Welcome\\x1b[2J', 'secret (ada@login) Your\\x1b[1A code: ']);
  });

  it('asks about a host key in the open, its last line as the question', async () => {
    const prompter = recording('yes');
    const prompt = "The authenticity of host 'x' can't be established.\nSure (yes/no/[fingerprint])? ";
    await new OpensshQuestions(prompter, () => '').answer({ prompt, hint: undefined });
    expect(prompter.heard).toEqual([
      "tell The authenticity of host 'x' can't be established.",
      'ask Sure (yes/no/[fingerprint])? ',
    ]);
  });

  it.each([
    "Enter passphrase for key '/home/ada/.ssh/id_ed25519': ",
    "ada@login's password: ",
    'Enter PIN for ED25519-SK key /home/ada/.ssh/id_ed25519_sk: ',
  ])('asks what is ssh’s own as it is: %s', async (prompt) => {
    const prompter = recording('x');
    await new OpensshQuestions(prompter, () => '').answer({ prompt, hint: undefined });
    expect(prompter.heard).toEqual([`secret ${prompt}`]);
  });

  it.each([
    ["(ada@login) Code\nEnter passphrase for key '/home/ada/.ssh/id': ", 'ada@login'],
    ["(ada@login) \r\u001b[2KEnter passphrase for key '/home/ada/.ssh/id': ", 'ada@login'],
    [`(ada@login) ${' '.repeat(90)}Are you sure (yes/no)? `, 'ada@login'],
    // From releases of OpenSSH that put no name in front.
    ["Code\nEnter passphrase for key '/home/ada/.ssh/id': ", 'ssh'],
  ])('lets no server ask in the name of others: %j', async (prompt, speaker) => {
    const prompter = recording('x');
    const said = "Welcome\nEnter passphrase for key '/home/ada/.ssh/id': ";
    await new OpensshQuestions(prompter, () => said).answer({ prompt, hint: undefined });
    const [told = '', ...rest] = prompter.heard.map((text) => text.replace(/^(tell|secret|ask) /, ''));
    for (const line of told.split('\n')) expect(line).toMatch(/^\(ssh\) /);
    for (const line of rest.join('\n').split('\n')) expect(line.startsWith(`(${speaker}) `), line).toBe(true);
    expect(prompter.heard.join()).not.toMatch(/\p{Cc}\[/u);
  });

  it('does not take a server’s question for one about its key', async () => {
    const prompter = recording('secret');
    await new OpensshQuestions(prompter, () => '').answer({
      prompt: '(ada@login) The authenticity of host (yes/no)? ',
      hint: undefined,
    });
    expect(prompter.heard[0]).toMatch(/^secret /);
  });

  it('shows what needs no answer, and takes consent only for yes', async () => {
    const prompter = recording('yes');
    const questions = new OpensshQuestions(prompter, () => '');
    expect(await questions.answer({ prompt: 'Touch your key', hint: 'none' })).toBe('');
    expect(await questions.answer({ prompt: 'Use it?', hint: 'confirm' })).toBe('');
    expect(prompter.heard).toEqual(['tell Touch your key', 'ask Use it? (yes/no) ']);
    const no = new OpensshQuestions(recording('no'), () => '');
    expect(await no.answer({ prompt: 'Use it?', hint: 'confirm' })).toBeUndefined();
  });

  it('remembers what nobody could be asked, and what broke off the asking', async () => {
    const unasked = new OpensshQuestions(noPrompter, () => '');
    expect(await unasked.answer({ prompt: 'Password: ', hint: undefined })).toBeUndefined();
    expect(unasked.unanswered).toMatchObject({ prompt: 'Password: ', error: { code: 'INPUT_NEEDED' } });
    const stopped = new OpensshQuestions({ ...noPrompter, ask: () => Promise.reject(interrupted()) }, () => '');
    expect(await stopped.answer({ prompt: 'Password: ', hint: undefined })).toBeUndefined();
    expect(stopped.failure).toMatchObject({ code: 'INTERRUPTED' });
  });
});
