import { z } from 'zod';
import { HpcrunError, isErrorCode, messageOf } from '../../errors.js';
import type { ConnectionTarget } from '../open-connection.js';

/** Changes with every change of what is sent over the socket. */
export const protocolVersion = 3;

/** What the process that holds a connection is told when it is started. */
export interface HolderSettings {
  /** The directory of its place, which is there. */
  directory: string;
  cluster: string;
  target: ConnectionTarget;
  /** How long it may be unused, and how long it lasts at most. */
  idleMs: number;
  lifetimeMs: number | null;
  logFile: string;
  version: string;
}

/** What that process writes down for whoever has to end it. */
export const holderInfoSchema = z.object({ pid: z.number(), cluster: z.string(), version: z.string() });

/** The first line of a client; the token shows that it may read the owner's files. */
export const helloSchema = z.object({ protocol: z.number(), token: z.string() });

/** The answer to it. Never changes its meaning, so that any two versions can tell each other apart. */
export const welcomeSchema = z.object({
  protocol: z.number(),
  /** Of hpcrun. */
  version: z.string(),
  accepted: z.boolean(),
  /** `user@host:port`, or the host's name before the login is through. */
  description: z.string(),
});
export type Welcome = z.output<typeof welcomeSchema>;

const terminalSizeSchema = z.object({ columns: z.int().nonnegative(), rows: z.int().nonnegative() });

/** What a client says in the channel of a script that runs on a terminal. */
export const resizeSchema = z.object({ type: z.literal('resize'), size: terminalSizeSchema });
export type Resize = z.output<typeof resizeSchema>;

/** What a client opens a channel for. */
export const requestSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('exec'),
    script: z.string(),
    hasInput: z.boolean(),
    /** Whether standard error is wanted as it comes, and not only the last of it at the end. */
    streamsErrors: z.boolean(),
    terminal: z.object({ type: z.string(), size: terminalSizeSchema }).optional(),
  }),
  z.object({ kind: z.literal('forward'), host: z.string(), port: z.int().min(1).max(65_535) }),
  /** `columns`: the width of the terminal on which questions will be shown. */
  z.object({ kind: z.literal('login'), columns: z.int().nonnegative().optional() }),
  z.object({ kind: z.literal('status') }),
  z.object({ kind: z.literal('end') }),
]);
export type Request = z.output<typeof requestSchema>;

export const statusSchema = z.object({
  cluster: z.string(),
  /** `lost`: it takes a person to log in again. */
  state: z.enum(['logging-in', 'connected', 'reconnecting', 'lost']),
  description: z.string(),
  pid: z.number(),
  /** Why there is no connection just now. */
  problem: z.string().nullable(),
  /** When the last login succeeded, in milliseconds since 1970. */
  connectedAt: z.number().nullable(),
  /** When the shared connection ends if nobody uses it until then, and when it ends in any case. */
  idleEndsAt: z.number().nullable(),
  endsAt: z.number().nullable(),
  /** Commands that use it just now. */
  users: z.number(),
});
/** What is known of a shared connection; times in milliseconds since 1970. */
export type SharedStatus = z.output<typeof statusSchema>;

const failureSchema = z.object({
  type: z.literal('failure'),
  /** Null for a bug. */
  code: z.string().nullable(),
  message: z.string(),
  hint: z.string().nullable(),
});

/** What the holder of the connection says in a channel. */
export const replySchema = z.discriminatedUnion('type', [
  /** What follows is standard error, or standard output again. */
  z.object({ type: z.literal('errors') }),
  z.object({ type: z.literal('output') }),
  z.object({ type: z.literal('exit'), exitCode: z.number() }),
  z.object({ type: z.literal('done') }),
  z.object({ type: z.literal('status'), status: statusSchema }),
  z.object({ type: z.literal('ask'), question: z.string(), secret: z.boolean() }),
  z.object({ type: z.literal('tell'), text: z.string() }),
  failureSchema,
]);
export type Reply = z.output<typeof replySchema>;

/** What the one who logs in says to a question. */
export const answerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('answer'), answer: z.string() }),
  failureSchema,
]);
export type Answer = z.output<typeof answerSchema>;

export function failureOf(error: unknown): z.output<typeof failureSchema> {
  if (error instanceof HpcrunError) {
    return { type: 'failure', code: error.code, message: error.message, hint: error.hint ?? null };
  }
  return { type: 'failure', code: null, message: messageOf(error), hint: null };
}

/** The error that the other side met. */
export function errorFrom({ code, message, hint }: z.output<typeof failureSchema>): Error {
  if (code === null || !isErrorCode(code)) return new Error(message);
  return new HpcrunError(code, message, hint === null ? {} : { hint });
}
