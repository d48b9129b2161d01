import { HpcrunError } from '../../errors.js';
import type { Prompter } from '../../ssh/prompter.js';

/** The answer; what is proposed where the answer is empty or nobody can be asked. */
export async function askOr(prompter: Prompter, question: string, proposal: string): Promise<string> {
  try {
    const answer = await prompter.ask(`${question}${proposal === '' ? '' : ` [${proposal}]`} `, { secret: false });
    return answer.trim() === '' ? proposal : answer.trim();
  } catch (error) {
    if (error instanceof HpcrunError && error.code === 'INPUT_NEEDED') return proposal;
    throw error;
  }
}

/** One of several, by its number or its name; the first is proposed. What is neither is asked again. */
export async function chooseOne<T extends { name: string; title: string }>(
  prompter: Prompter,
  question: string,
  choices: T[],
): Promise<T | undefined> {
  const [first] = choices;
  if (!first || choices.length === 1) return first;
  const width = Math.max(...choices.map(({ name }) => name.length));
  prompter.tell(
    choices
      .map(({ name, title }, index) => `  ${String(index + 1).padStart(2)}  ${name.padEnd(width)}  ${title}`)
      .join('\n'),
  );
  for (;;) {
    const answer = await askOr(prompter, question, '1');
    const chosen = choices[Number(answer) - 1] ?? choices.find(({ name }) => name === answer);
    if (chosen) return chosen;
    prompter.tell(`"${answer}" is none of them.`);
  }
}
