import { HpcrunError, messageOf } from '../../errors.js';
import type { Connection } from '../connection.js';
import type { Prompter } from '../prompter.js';
import { reconnectDelayMs } from './back-off.js';
import type { SharedStatus } from './messages.js';

/** The least time between two attempts, also when commands ask for them. */
const pauseMs = 2000;

export interface HolderInputs {
  /** Logs in; without a prompter nobody is there to be asked. */
  open: (prompter: Prompter | undefined, signal: AbortSignal) => Promise<Connection>;
  log: (text: string) => void;
  /** From 0 to 1. */
  random: () => number;
}

/**
 * Keeps one login alive. A connection that is lost is made anew where that takes no answer of a person: where the first login
 * asked nothing. Otherwise, and once a server has said no, it stays lost: nobody's second factor is used without their knowledge,
 * and no account is locked by attempts that must fail.
 */
export class ConnectionHolder {
  private connection: Connection | undefined;
  private attempt: Promise<Connection> | undefined;
  private problem: HpcrunError | undefined;
  private timer: NodeJS.Timeout | undefined;
  private failures = 0;
  private attemptedAt = 0;
  private hasAsked = false;
  private isFinal = false;
  private readonly ending = new AbortController();
  /** Settles with the first login. */
  private readonly firstLogin: Promise<Connection>;
  private settleFirst: (login: Promise<Connection>) => void = () => undefined;
  /** When the last login succeeded. */
  connectedAt: number | undefined;

  constructor(private readonly inputs: HolderInputs) {
    this.firstLogin = new Promise((resolve) => {
      this.settleFirst = resolve;
    });
    // Whoever waits for it is told; nobody has to.
    this.firstLogin.catch(() => undefined);
  }

  /** Whether somebody is logging in for the first time, or has. */
  get hasBegun(): boolean {
    return this.attempt !== undefined || this.connectedAt !== undefined;
  }

  get state(): SharedStatus['state'] {
    if (this.connection) return 'connected';
    if (this.connectedAt === undefined) return 'logging-in';
    return this.isFinal ? 'lost' : 'reconnecting';
  }

  /** Why there is no connection. */
  get reason(): string | undefined {
    return this.connection ? undefined : this.problem?.message;
  }

  get description(): string | undefined {
    return this.connection?.description;
  }

  /** The first login, with a person to ask. Throws what a login throws. */
  async login(prompter: Prompter): Promise<Connection> {
    const noting: Prompter = {
      columns: prompter.columns,
      ask: async (question, options) => {
        this.hasAsked ||= options.isLasting !== true;
        return await prompter.ask(question, options);
      },
      // Text that was shown may have been the announcement of a push to a telephone.
      tell: (text, options) => {
        this.hasAsked ||= options?.isNotice !== true;
        prompter.tell(text, options);
      },
    };
    this.attempt = this.open(noting);
    this.settleFirst(this.attempt);
    return await this.attempt;
  }

  /** The connection, after the login or the attempt to reconnect that is under way. Throws CONNECTION_LOST, or why the login failed. */
  async acquire(): Promise<Connection> {
    if (this.connection) return this.connection;
    if (this.connectedAt === undefined) return await this.firstLogin;
    if (this.attempt) return await this.attempt;
    if (!this.isFinal && Date.now() - this.attemptedAt >= pauseMs) return await this.reconnect();
    throw this.problem ?? lost('the cluster', undefined);
  }

  close(): void {
    clearTimeout(this.timer);
    this.isFinal = true;
    this.ending.abort();
    this.connection?.close();
  }

  private async open(prompter: Prompter | undefined): Promise<Connection> {
    try {
      const connection = await this.inputs.open(prompter, this.ending.signal);
      this.connection = connection;
      this.connectedAt = Date.now();
      this.failures = 0;
      void connection.closed.then(() => {
        this.lose(connection);
      });
      this.inputs.log(`logged in: ${connection.description}`);
      return connection;
    } finally {
      this.attempt = undefined;
      this.attemptedAt = Date.now();
    }
  }

  private lose({ description }: Connection): void {
    this.connection = undefined;
    if (this.ending.signal.aborted) return;
    this.isFinal = this.hasAsked;
    this.problem = lost(description, this.hasAsked ? 'a new login needs your answers' : undefined);
    this.inputs.log(this.isFinal ? 'the connection is lost' : 'the connection is lost; logging in again');
    if (!this.isFinal) this.schedule(description);
  }

  private schedule(description: string): void {
    const delayMs = reconnectDelayMs(this.failures, this.inputs.random());
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (this.connection || this.attempt || this.isFinal) return;
      this.reconnect(description).catch((error: unknown) => {
        this.inputs.log(messageOf(error));
      });
    }, delayMs);
  }

  private async reconnect(description = 'the cluster'): Promise<Connection> {
    this.attempt = this.open(undefined);
    try {
      return await this.attempt;
    } catch (error) {
      this.failures += 1;
      // Of what a network can do, only this goes away by itself.
      const mayPass = error instanceof HpcrunError && ['CONNECTION_FAILED', 'CONNECTION_LOST'].includes(error.code);
      this.isFinal = !mayPass || this.ending.signal.aborted;
      this.problem = lost(description, messageOf(error));
      if (!this.isFinal) this.schedule(description);
      throw this.problem;
    }
  }
}

function lost(description: string, why: string | undefined): HpcrunError {
  const because = why === undefined ? '' : `: ${why}`;
  return new HpcrunError('CONNECTION_LOST', `the shared connection to ${description} is lost${because}`, {
    hint: 'Log in again with "hpcrun connect", or go on without it: hpcrun disconnect',
  });
}
