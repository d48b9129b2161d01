import { HpcrunError } from '../errors.js';

/** How a person is asked. Without one (`--no-input`, no terminal) every question is an error. */
export interface Prompter {
  /** Shows `question` and reads a line; `secret` ones are not echoed. */
  ask(question: string, options: { secret: boolean }): Promise<string>;
  /** Shows text that needs no answer, such as a server's own instructions. */
  tell(text: string): void;
}

/** Refuses every question. */
export const noPrompter: Prompter = {
  ask(question) {
    return Promise.reject(
      new HpcrunError('INPUT_NEEDED', `an answer is needed, but nobody can be asked: ${question.trim()}`, {
        hint: 'Run it in a terminal without --no-input, or set up a key or an agent for this host.',
      }),
    );
  },
  tell: () => undefined,
};
