import { HpcrunError } from '../errors.js';
import type { Answer, Exchange, Question } from './exchange.js';
import { findIdentities, type Hash, type Identity } from './identities.js';
import type { KeyRing } from './key-ring.js';
import type { Prompter } from './prompter.js';
import type { AuthenticationMethod, HostSettings } from './ssh-config.js';
import { attributed } from './terminal-text.js';

// No honest server asks more often in one go.
const questionRounds = 50;

type Failure = Extract<Answer, { type: 'failure' }>;

/**
 * One login: keys, then what the server asks for, in the order of preference. What comes next is chosen from what the server
 * still accepts, so that a server may want several in any order (RFC 4252, section 5.1). Questions are the server's own words, each line
 * with its name before it.
 */
export class Authentication {
  /** What was tried, for the error message. */
  readonly tried: string[] = [];
  /** What the user has set up and only OpenSSH itself could use. */
  readonly beyondUs = new Set<string>();
  /** What the server accepts, as far as it has said so. */
  accepted: string[] | undefined;
  /** Whether the last answer of a person was wrong. */
  wasWrong = false;

  /** The keys that are still to be tried; undefined as long as they have not been looked for. */
  private identities: Identity[] | undefined;
  private readonly speaker: string;
  private readonly attempts = { 'keyboard-interactive': 0, password: 0 };
  private readonly exhausted = new Set<AuthenticationMethod>();
  private hasAsked = false;

  constructor(
    private readonly settings: HostSettings,
    private readonly prompter: Prompter,
    private readonly keys: KeyRing,
  ) {
    this.speaker = `${settings.user}@${settings.alias}`;
  }

  /** Whether the server has let us in. Throws what the prompter throws. */
  async logIn(exchange: Exchange): Promise<boolean> {
    for (;;) {
      const method = this.chooseMethod();
      if (method === undefined && this.accepted !== undefined) return false;
      // Without a key, the first question is what the server wants.
      const answer =
        method === undefined ? await exchange.send({ type: 'none' }) : await this.attempt(method, exchange);
      if (answer === undefined) continue;
      if (answer.type === 'success') return true;
      if (answer.type !== 'failure') throw unexpected(this.speaker, answer);
      this.take(answer);
    }
  }

  private chooseMethod(): AuthenticationMethod | undefined {
    const { accepted } = this;
    return this.settings.authenticationOrder.find(
      (method) => !this.exhausted.has(method) && (accepted ? accepted.includes(method) : method === 'publickey'),
    );
  }

  private take({ methods, isPartial }: Failure): void {
    this.accepted = methods;
    if (!isPartial) return;
    // Something was right: what is wanted now is another thing. As in OpenSSH, it has its own attempts, and keys that were refused before may
    // be what it is.
    this.attempts['keyboard-interactive'] = this.attempts.password = 0;
    this.exhausted.clear();
    this.identities = undefined;
  }

  /** Undefined if there is nothing left to try by this method. */
  private async attempt(method: AuthenticationMethod, exchange: Exchange): Promise<Answer | undefined> {
    if (method === 'publickey') {
      this.identities ??= await this.findIdentities();
      const identity = this.identities.shift();
      if (identity) return await this.tryIdentity(identity, exchange);
      this.exhausted.add('publickey');
      return undefined;
    }
    this.explainOnce();
    if (this.attempts[method]++ > 0) this.prompter.tell('Permission denied, please try again.');
    this.tried.push(method);
    const answer = await (method === 'password' ? this.tryPassword(exchange) : this.tryQuestions(exchange));
    this.wasWrong = answer.type === 'failure' && !answer.isPartial;
    if (this.attempts[method] >= this.settings.passwordPrompts) this.exhausted.add(method);
    return answer;
  }

  private async findIdentities(): Promise<Identity[]> {
    return await findIdentities({
      settings: this.settings,
      keys: this.keys,
      prompter: this.prompter,
      passOver: (label, why) => {
        const note = `${label} (${why})`;
        if (!this.tried.includes(note)) this.tried.push(note);
      },
      beyondUs: (what) => this.beyondUs.add(what),
    });
  }

  private async tryIdentity(identity: Identity, exchange: Exchange): Promise<Answer | undefined> {
    const { label } = identity;
    const key = await identity.loadKey();
    if (!key) return undefined;
    const signature = signatureFor(key.type, exchange.signatureAlgorithms);
    this.tried.push(label);
    const answer = await exchange.send({ type: 'offer-key', key, algorithm: signature.algorithm });
    if (answer.type !== 'key-accepted') return answer;
    const sign = await identity.open();
    if (!sign) return undefined;
    let failure: unknown;
    const proof = { type: 'prove-key', key, algorithm: signature.algorithm } as const;
    try {
      return await exchange.send({
        ...proof,
        sign: async (data) => {
          try {
            return await sign(data, signature.hash);
          } catch (error) {
            failure = error;
            throw error;
          }
        },
      });
    } catch (error) {
      // The agent's owner, or its hardware, may have said no: nothing was sent, and there are other keys.
      if (failure === undefined) throw error;
      this.tried.push(`${label} (no signature)`);
      return undefined;
    }
  }

  private async tryPassword(exchange: Exchange): Promise<Answer> {
    const { prompter, speaker } = this;
    let password = await prompter.ask(`${speaker}'s password: `, { secret: true });
    let answer = await exchange.send({ type: 'password', password });
    for (let round = 0; answer.type === 'new-password-wanted' && round < this.settings.passwordPrompts; round += 1) {
      this.quote(answer.text);
      password = await prompter.ask(`${speaker}'s old password: `, { secret: true });
      const newPassword = await this.askNewPassword();
      answer = await exchange.send({ type: 'password', password, newPassword });
    }
    return answer;
  }

  private async askNewPassword(): Promise<string> {
    const { prompter, speaker } = this;
    for (;;) {
      const wanted = await prompter.ask(`${speaker}'s new password: `, { secret: true });
      if (wanted === (await prompter.ask(`Retype ${speaker}'s new password: `, { secret: true }))) return wanted;
      prompter.tell('The two are not the same; try again.');
    }
  }

  private async tryQuestions(exchange: Exchange): Promise<Answer> {
    let hasQuestion = false;
    let answer = await exchange.send({ type: 'keyboard-interactive' });
    for (let round = 0; answer.type === 'questions' && round < questionRounds; round += 1) {
      hasQuestion ||= answer.questions.length > 0;
      for (const text of [answer.name, answer.instructions]) this.quote(text);
      const answers: string[] = [];
      for (const question of answer.questions) answers.push(await this.ask(question));
      answer = await exchange.send({ type: 'answers', answers });
    }
    // Who was not asked for anything cannot do better the next time.
    if (!hasQuestion) this.exhausted.add('keyboard-interactive');
    return answer;
  }

  private async ask({ text, echo }: Question): Promise<string> {
    const shown = text.replace(/[\r\n]+$/, '');
    // Some servers leave the question to the text above, such as "press Enter when done".
    const question = shown.trim() === '' ? 'answer, or just Enter: ' : shown;
    return await this.prompter.ask(attributed(question, this.speaker, this.prompter.columns), { secret: !echo });
  }

  /** Passes on what the server says. */
  quote(text: string, how?: { isNotice: boolean }): void {
    const trimmed = text.replace(/^[\r\n]+/, '').trimEnd();
    if (trimmed !== '') this.prompter.tell(attributed(trimmed, this.speaker, this.prompter.columns), how);
  }

  /** Says before the first question why a key that would make it needless is not used. */
  private explainOnce(): void {
    if (!this.hasAsked && this.beyondUs.size > 0) {
      this.prompter.tell(`hpcrun's own SSH cannot use ${[...this.beyondUs].join(', ')}; "transport: openssh" can.`);
    }
    this.hasAsked = true;
  }
}

/** RSA keys sign with SHA-2 where the server can (RFC 8332); the others have one way to sign. */
function signatureFor(type: string, announced: string[] | undefined): { algorithm: string; hash: Hash | undefined } {
  if (type !== 'ssh-rsa') return { algorithm: type, hash: undefined };
  if (announced?.includes('rsa-sha2-512')) return { algorithm: 'rsa-sha2-512', hash: 'sha512' };
  if (announced?.includes('rsa-sha2-256')) return { algorithm: 'rsa-sha2-256', hash: 'sha256' };
  return { algorithm: 'ssh-rsa', hash: 'sha1' };
}

function unexpected(speaker: string, { type }: Answer): HpcrunError {
  return new HpcrunError('LOGIN_FAILED', `${speaker} answered the login with something else than yes or no (${type})`, {
    hint: 'The server does not keep to the SSH protocol; ask its administrators.',
  });
}
