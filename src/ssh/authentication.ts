import { readFile, stat } from 'node:fs/promises';
import ssh2, { type AnyAuthMethod, type AuthenticationType, type ParsedKey, type Prompt } from 'ssh2';
import { HpcrunError, isSystemError } from '../errors.js';
import type { Prompter } from './prompter.js';
import type { HostSettings } from './ssh-config.js';
import { printable } from './terminal-text.js';

const promptedAttempts = 3;

/**
 * The authentication attempts for one login, one at a time: the agent, key files, then what the server asks for
 * interactively. Questions are the server's own words, with control characters made visible.
 */
export class Authentication {
  /** What was tried, for the error message. */
  readonly tried: string[] = [];
  private readonly attempts: AsyncGenerator<AnyAuthMethod, void, AuthenticationType[] | undefined>;
  private left: AuthenticationType[] | undefined;

  constructor(
    private readonly settings: HostSettings,
    private readonly prompter: Prompter,
  ) {
    this.attempts = this.generate();
  }

  /** The next attempt, or false when there is nothing left to try. `left`: what the server still accepts. */
  async next(left: AuthenticationType[] | null): Promise<AnyAuthMethod | false> {
    this.left = left ?? undefined;
    const { value } = await this.attempts.next();
    return value ?? false;
  }

  private accepts(method: AuthenticationType): boolean {
    return this.left === undefined || this.left.includes(method);
  }

  private async *generate(): AsyncGenerator<AnyAuthMethod, void, AuthenticationType[] | undefined> {
    const { user: username, agentSocket, identityFiles, identitiesOnly } = this.settings;
    if (agentSocket !== undefined && !identitiesOnly && (await exists(agentSocket))) {
      this.tried.push('agent');
      yield { type: 'agent', username, agent: agentSocket };
    }
    for (const file of identityFiles) {
      if (!this.accepts('publickey')) break;
      const key = await this.loadKey(file);
      if (!key) continue;
      this.tried.push(file);
      yield { type: 'publickey', username, key };
    }
    if (this.left === undefined) yield { type: 'none', username };
    for (let attempt = 0; attempt < promptedAttempts && this.accepts('keyboard-interactive'); attempt += 1) {
      this.tried.push('keyboard-interactive');
      yield { type: 'keyboard-interactive', username, prompt: this.answer };
    }
    for (let attempt = 0; attempt < promptedAttempts && this.accepts('password'); attempt += 1) {
      this.tried.push('password');
      const question = `${username}@${this.settings.alias}'s password: `;
      yield { type: 'password', username, password: await this.prompter.ask(question, { secret: true }) };
    }
  }

  /** Thrown while answering prompts, where ssh2 has no way to pass it on. */
  failure: unknown;

  private readonly answer = (
    name: string,
    instructions: string,
    _language: string,
    prompts: Prompt[],
    finish: (answers: string[]) => void,
  ): void => {
    const ask = async () => {
      for (const text of [name, instructions]) if (text.trim() !== '') this.prompter.tell(printable(text));
      const answers: string[] = [];
      for (const prompt of prompts) {
        answers.push(await this.prompter.ask(printable(prompt.prompt), { secret: prompt.echo !== true }));
      }
      return answers;
    };
    ask().then(finish, (error: unknown) => {
      this.failure = error;
      finish([]);
    });
  };

  private async loadKey(file: string): Promise<ParsedKey | undefined> {
    let text: Buffer;
    try {
      text = await readFile(file);
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return undefined;
      throw new HpcrunError('LOGIN_FAILED', `cannot read the key ${file}`, {
        cause: error,
        hint: 'Check its permissions.',
      });
    }
    let parsed = ssh2.utils.parseKey(text);
    for (let attempt = 0; attempt < promptedAttempts && parsed instanceof Error; attempt += 1) {
      // ssh2 says so in words only; other unreadable keys (FIDO, certificates) are left to what comes next.
      if (!/encrypted|bad passphrase|passphrase/i.test(parsed.message)) return undefined;
      const passphrase = await this.prompter.ask(`Enter passphrase for key '${file}': `, { secret: true });
      parsed = ssh2.utils.parseKey(text, passphrase);
    }
    if (parsed instanceof Error) return undefined;
    // One file holds one key; the declared type leaves the list open.
    const keys: ParsedKey[] = Array.isArray(parsed) ? parsed : [parsed];
    return keys[0];
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false;
    throw error;
  }
}
