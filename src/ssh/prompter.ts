import { HpcrunError } from '../errors.js';

/** How a person is asked. Without one (`--no-input`, no terminal) every question is an error. */
export interface Prompter {
  /** Shows a question and reads a line. */
  ask(question: string, options: QuestionOptions): Promise<string>;
  /**
   * Shows text that needs no answer here, such as a server's own instructions.
   * @param options.isNotice it asks nobody to do anything, as a server's banner
   */
  tell(text: string, options?: { isNotice?: boolean }): void;
  /** The width of the terminal; 80 if not given. */
  readonly columns?: number | undefined;
}

export interface QuestionOptions {
  /** The answer is not echoed. */
  secret: boolean;
  /** Takes the question back. */
  signal?: AbortSignal | undefined;
  /** The answer is written down, so that the question does not come again. */
  isLasting?: boolean | undefined;
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
