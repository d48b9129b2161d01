import { HpcrunError } from '../errors.js';
import type { Terminal } from './terminal.js';

/** Asks before something is removed for good. `--yes` answers; where nobody can be asked, it is needed. Throws INPUT_NEEDED. */
export async function confirm(terminal: Terminal, question: string, yes: boolean | undefined): Promise<boolean> {
  if (yes === true) return true;
  try {
    const answer = await terminal.prompter.ask(`${question} [y/N] `, { secret: false });
    return /^\s*y(?:es)?\s*$/i.test(answer);
  } catch (error) {
    if (!(error instanceof HpcrunError) || error.code !== 'INPUT_NEEDED') throw error;
    throw new HpcrunError('INPUT_NEEDED', error.message, {
      hint: 'Say --yes to remove it without a question, or --dry-run to see only what would go.',
    });
  }
}
