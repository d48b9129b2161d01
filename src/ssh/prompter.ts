import { HpcrunError } from '../errors.js';

/** How a person is asked. Without one (`--no-input`, no terminal) every question is an error. */
export interface Prompter {
  /** Shows `question` and reads a line; `secret` ones are not echoed. The signal takes the question back. */
  ask(question: string, options: { secret: boolean; signal?: AbortSignal }): Promise<string>;
  /** Shows text that needs no answer, such as a server's own instructions. */
  tell(text: string): void;
  /** The width of the terminal; 80 if not given. */
  readonly columns?: number | undefined;
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
