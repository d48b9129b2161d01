import { chmod } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { packageDirectory } from '../package-directory.js';

/** What OpenSSH wants to know, as it calls its askpass program (ssh(1), SSH_ASKPASS). */
export interface AskpassQuestion {
  prompt: string;
  /** `confirm` wants no text but consent; `none` is to be shown only. */
  hint: 'confirm' | 'none' | undefined;
}

/** The answer, or undefined for "no". */
export type AnswerAskpass = (question: AskpassQuestion) => Promise<string | undefined>;

/**
 * Answers the questions of OpenSSH's programs over a socket that only this user can open. The server ends with its process.
 * @param socket its path, in a directory of mode 0700
 */
export async function serveAskpass(socket: string, answer: AnswerAskpass): Promise<Server> {
  const server = createServer((client) => {
    receiveQuestion(client, answer);
  });
  server.unref();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socket, resolve);
  });
  await chmod(socket, 0o600);
  return server;
}

/** Variables by which OpenSSH asks the server at `socket` instead of the terminal. */
export function askpassEnvironment(socket: string, env: NodeJS.ProcessEnv): Record<string, string> {
  const program = packageDirectory();
  return {
    SSH_ASKPASS: join(program, 'bin', 'askpass'),
    SSH_ASKPASS_REQUIRE: 'force',
    // Before OpenSSH 8.4, a display and the lack of a terminal were what made it ask a program.
    DISPLAY: env.DISPLAY ?? ':0',
    HPCRUN_ASKPASS_NODE: process.execPath,
    HPCRUN_ASKPASS_PROGRAM: join(program, 'dist', 'cli', 'askpass.js'),
    HPCRUN_ASKPASS_SOCKET: socket,
  };
}

function receiveQuestion(client: Socket, answer: AnswerAskpass): void {
  let received = '';
  client.setEncoding('utf8');
  // Whoever asked may be gone before the answer is there.
  client.on('error', () => undefined);
  client.on('data', (text: string) => {
    received += text;
    if (!received.endsWith('\n')) return;
    const question = JSON.parse(received) as AskpassQuestion;
    answer(question).then(
      (text) => client.end(text === undefined ? '' : JSON.stringify({ answer: text })),
      () => client.end(),
    );
  });
}
