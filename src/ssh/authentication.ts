import { readFile, stat } from 'node:fs/promises';
import ssh2, { type AnyAuthMethod, type AuthenticationType, type ParsedKey, type Prompt } from 'ssh2';
import { HpcrunError, isMissing } from '../errors.js';
import type { Prompter } from './prompter.js';
import type { HostSettings } from './ssh-config.js';
import { printable } from './terminal-text.js';

const promptedAttempts = 3;

/**
 * The authentication attempts for one login: the agent, key files, then what the server asks for interactively, in
 * OpenSSH's order of preference. What comes next is chosen from what the server still accepts, so that a server may want
 * several in any order. Questions are the server's own words, with control characters made visible.
 */
export class Authentication {
  /** What was tried, for the error message. */
  readonly tried: string[] = [];
  private readonly keys: AsyncGenerator<AnyAuthMethod, void>;
  private readonly asked = { 'keyboard-interactive': 0, password: 0 };
  private hasAskedServer = false;

  /** @param giveUp told when nobody can answer a question of the server's: ssh2 has no way to pass that on */
  constructor(
    private readonly settings: HostSettings,
    private readonly prompter: Prompter,
    private readonly giveUp: (error: unknown) => void,
  ) {
    this.keys = this.generateKeys();
  }

  /**
   * The next attempt, or false when there is nothing left to try.
   * @param left what the server still accepts; null before the first attempt
   * @param hasSucceededPartly whether the last attempt was right and the server wants another one on top
   */
  async next(left: AuthenticationType[] | null, hasSucceededPartly: boolean): Promise<AnyAuthMethod | false> {
    if (hasSucceededPartly) this.asked['keyboard-interactive'] = this.asked.password = 0;
    const accepts = (method: AuthenticationType) => left?.includes(method) ?? false;
    if (left === null || accepts('publickey')) {
      const { value } = await this.keys.next();
      if (value) return value;
    }
    const { user: username, alias } = this.settings;
    if (left === null && !this.hasAskedServer) {
      // Without a key, the first question is what the server wants.
      this.hasAskedServer = true;
      return { type: 'none', username };
    }
    if (accepts('keyboard-interactive') && this.asked['keyboard-interactive']++ < promptedAttempts) {
      this.tried.push('keyboard-interactive');
      return { type: 'keyboard-interactive', username, prompt: this.answer };
    }
    if (accepts('password') && this.asked.password++ < promptedAttempts) {
      this.tried.push('password');
      const password = await this.prompter.ask(`${username}@${alias}'s password: `, { secret: true });
      return { type: 'password', username, password };
    }
    return false;
  }

  private async *generateKeys(): AsyncGenerator<AnyAuthMethod, void> {
    const { user: username, agentSocket, identityFiles, identitiesOnly } = this.settings;
    if (agentSocket !== undefined && !identitiesOnly && (await exists(agentSocket))) {
      this.tried.push('agent');
      yield { type: 'agent', username, agent: agentSocket };
    }
    for (const file of identityFiles) {
      const key = await this.loadKey(file);
      if (!key) continue;
      this.tried.push(file);
      yield { type: 'publickey', username, key };
    }
  }

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
    ask().then(finish, this.giveUp);
  };

  private async loadKey(file: string): Promise<ParsedKey | undefined> {
    let text: Buffer;
    try {
      text = await readFile(file);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw new HpcrunError('LOGIN_FAILED', `cannot read the key ${file}`, {
        cause: error,
        hint: 'Check its permissions.',
      });
    }
    let parsed = ssh2.utils.parseKey(text);
    for (let attempt = 0; attempt < promptedAttempts && parsed instanceof Error; attempt += 1) {
      // ssh2 says so in words only; other unreadable keys (FIDO, certificates) are left to what comes next.
      if (!/encrypted|bad passphrase|passphrase/i.test(parsed.message)) return undefined;
      const passphrase = await this.askPassphrase(file);
      if (passphrase === undefined) return undefined;
      parsed = ssh2.utils.parseKey(text, passphrase);
    }
    if (parsed instanceof Error) return undefined;
    // One file holds one key; the declared type leaves the list open.
    const keys: ParsedKey[] = Array.isArray(parsed) ? parsed : [parsed];
    return keys[0];
  }

  /** Undefined if nobody can be asked: another key, or another way in, may do without. */
  private async askPassphrase(file: string): Promise<string | undefined> {
    try {
      return await this.prompter.ask(`Enter passphrase for key '${file}': `, { secret: true });
    } catch (error) {
      if (!(error instanceof HpcrunError) || error.code !== 'INPUT_NEEDED') throw error;
      this.tried.push(`${file} (its passphrase could not be asked for)`);
      return undefined;
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
