import type { Prompter } from '../../src/ssh/prompter.js';

export interface Answering extends Prompter {
  /** The questions so far. */
  asked: { question: string; secret: boolean }[];
  told: string[];
}

/** Somebody who gives these answers one after the other, and the last one again and again. */
export function answering(...answers: string[]): Answering {
  const asked: Answering['asked'] = [];
  const told: string[] = [];
  return {
    asked,
    told,
    tell: (text) => void told.push(text),
    ask: (question, { secret }) => {
      asked.push({ question, secret });
      return Promise.resolve(answers[Math.min(asked.length, answers.length) - 1] ?? '');
    },
  };
}
