import { HpcrunError } from '../errors.js';
import type { AskpassQuestion } from './askpass.js';
import type { Prompter } from './prompter.js';
import { attributed, printable } from './terminal-text.js';

/** Puts the questions of the system's ssh to the user, and remembers those that nobody could answer. */
export class OpensshQuestions {
  /** Whether somebody is being asked just now. */
  isAsking = false;
  /** What nobody could be asked, and why. */
  unanswered: { prompt: string; error: HpcrunError } | undefined;
  /** What ended the asking, such as Ctrl-C. */
  failure: Error | undefined;
  private queue = Promise.resolve<unknown>(undefined);

  /** @param context what ssh has printed since the last question: the server's own words to it */
  constructor(
    private readonly prompter: Prompter,
    private readonly context: () => string,
  ) {}

  /** The answer, or undefined if there is none. Several programs may ask at once; the user hears one at a time. */
  readonly answer = (question: AskpassQuestion): Promise<string | undefined> => {
    const answered = this.queue.then(() => this.ask(question));
    this.queue = answered;
    return answered;
  };

  /** A question whose words are a server's has a name before each of its lines. */
  private textOf({ prompt, hint }: AskpassQuestion): string {
    if (hint !== undefined || isOwnQuestion(prompt)) return printable(prompt);
    const [prefix = '', speaker = 'ssh'] = /^\(([^)\n]*)\) /.exec(prompt) ?? [];
    return attributed(prompt.slice(prefix.length).trimEnd(), speaker, this.prompter.columns);
  }

  private async ask(question: AskpassQuestion): Promise<string | undefined> {
    const { prompt, hint } = question;
    // Its banner and its instructions are among this, with nothing to tell them from ssh's own words.
    const said = this.context().trim();
    if (said !== '') this.prompter.tell(attributed(said, 'ssh', this.prompter.columns));
    const text = this.textOf(question).trimEnd();
    if (hint === 'none') {
      this.prompter.tell(text);
      return '';
    }
    this.isAsking = true;
    try {
      if (hint === 'confirm') {
        const consent = await this.prompter.ask(`${text} (yes/no) `, { secret: false });
        return /^y(es)?$/i.test(consent.trim()) ? '' : undefined;
      }
      const lines = text.split('\n');
      const last = lines.pop() ?? '';
      if (lines.length > 0) this.prompter.tell(lines.join('\n'));
      // OpenSSH does not say which answers may be seen; only its own questions about keys are known not to be secret.
      return await this.prompter.ask(`${last} `, { secret: !isAboutHostKey(prompt) });
    } catch (error) {
      if (error instanceof HpcrunError && error.code === 'INPUT_NEEDED') this.unanswered ??= { prompt, error };
      else this.failure ??= error instanceof Error ? error : new Error(String(error));
      return undefined;
    } finally {
      this.isAsking = false;
    }
  }
}

/** Whether the words are OpenSSH's own (sshconnect.c, sshconnect2.c, readpass.c); what a server asks comes with a name in front. */
function isOwnQuestion(prompt: string): boolean {
  if (isAboutHostKey(prompt)) return true;
  return /^(?:Enter (?:passphrase|PIN) for |Enter \S+'s (?:old|new) password|Retype |[^()\n]+'s password: $)[^\n]*$/.test(
    prompt,
  );
}

/** Whether the question is OpenSSH's own about a key it does not know; what a server asks comes with a name in front. */
export function isAboutHostKey(prompt: string): boolean {
  return /^(?:The authenticity of host |Please type 'yes'|Accept updated hostkeys)/.test(prompt);
}
