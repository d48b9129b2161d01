import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, rmSync, watch, type FSWatcher } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { interrupted, isSystemError, throwIfInterrupted } from '../errors.js';
import { askpassEnvironment, serveAskpass } from './askpass.js';
import { findExpiredCertificates } from './expired-certificates.js';
import { explainOpensshFailure } from './explain-openssh-failure.js';
import type { OpenOptions } from './login.js';
import { renderMasterArguments } from './openssh-arguments.js';
import { OpensshQuestions } from './openssh-questions.js';
import { makePrivateDirectory } from './private-directory.js';
import { resolveHost, type HostOverrides } from './ssh-config.js';

const defaultKeepalive = { intervalMs: 15_000, lostAfter: 3 };
const silenceLimitMs = 60_000;
const lookIntervalMs = 100;
const farewellMs = 2000;
const lastWordsMs = 200;
const keptTextLength = 16_384;

/**
 * Starts ssh, and beside it what ends it and removes its directory should hpcrun be killed. The pipe at descriptor 3 closes
 * with hpcrun; a line in it says that ssh has ended and there is nothing to do.
 */
const guardedStart = `directory=$1; shift
{ read -r line <&3 || { kill $$; rm -rf "$directory"; }; } </dev/null >/dev/null 2>&1 &
exec ssh "$@" 3<&-`;

/** The system's ssh, logged in and serving sessions at its control socket. */
export class OpensshMaster {
  /** Settles when it has ended, whoever ended it. */
  readonly closed: Promise<void>;
  /** Why it ended. */
  lost: Error | undefined;
  private said = '';
  private shownLength = 0;

  private constructor(
    readonly directory: string,
    private readonly child: ChildProcess,
  ) {
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.said += text;
      const excess = this.said.length - keptTextLength;
      if (excess <= 0) return;
      this.said = this.said.slice(excess);
      this.shownLength = Math.max(0, this.shownLength - excess);
    });
    this.closed = new Promise((resolve) => {
      const end = (why: string) => {
        const lastWords = this.said.trim().split('\n').at(-1)?.trim() ?? '';
        this.lost ??= new Error(lastWords === '' ? why : lastWords);
        rmSync(directory, { recursive: true, force: true });
        resolve();
      };
      child.once('error', (error) => {
        end(error.message);
      });
      child.once('exit', () => {
        // Whoever reads there may have ended before.
        (child.stdio[3] as Writable).on('error', () => undefined).end('over\n');
        // What a ProxyCommand has left running may hold the pipe open; ssh's own words are in it already.
        setTimeout(() => child.stderr?.destroy(), lastWordsMs).unref();
      });
      child.once('close', () => {
        end('ssh has ended');
      });
    });
  }

  get socket(): string {
    return controlSocket(this.directory);
  }

  /** Logs in. Throws CONNECTION_FAILED, LOGIN_FAILED, the HOST_KEY errors or INTERRUPTED. */
  static async start(target: HostOverrides, options: OpenOptions): Promise<OpensshMaster> {
    const { env, prompter, signal, keepalive = defaultKeepalive, unattended } = options;
    throwIfInterrupted(signal);
    const directory = await makePrivateDirectory();
    const questions: OpensshQuestions = new OpensshQuestions(prompter, () => master.takeNews());
    const askpass = join(directory, 'ask');
    const server = await serveAskpass(askpass, questions.answer);
    const { unknownHostKeys } = target.isolated ? { unknownHostKeys: 'ask' as const } : await resolveHost(target, env);
    const sshOptions = { unattended, unknownHostKeys };
    const sshArguments = renderMasterArguments(target, controlSocket(directory), keepalive, sshOptions);
    const argv = ['-c', guardedStart, 'hpcrun', directory, ...sshArguments];
    const master: OpensshMaster = new OpensshMaster(
      directory,
      spawn('/bin/sh', argv, {
        // A session of its own: Ctrl-C is for hpcrun, which may still have to say something to the cluster.
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
        env: { ...env, ...askpassEnvironment(askpass, env) },
      }),
    );
    try {
      await master.awaitLogin(questions, signal);
      return master;
    } catch (error) {
      master.close();
      if (error !== failedToLogIn) throw error;
      await master.closed;
      if (questions.failure) throw questions.failure;
      const expired = await findExpiredCertificates(await resolveHost(target, env));
      throw explainOpensshFailure(target, master.said, questions.unanswered, expired);
    } finally {
      server.close();
    }
  }

  /** Whether it still answers. It does so until the very moment at which it ends. */
  isAlive(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.socket);
      const settle = (alive: boolean) => {
        socket.destroy();
        resolve(alive);
      };
      // The greeting of the multiplexing protocol comes first from either side.
      socket.once('data', () => {
        settle(true);
      });
      socket.once('error', () => {
        settle(false);
      });
      socket.once('close', () => {
        settle(false);
      });
    });
  }

  close(): void {
    this.lost ??= new Error('it was closed');
    this.child.kill('SIGTERM');
    setTimeout(() => this.child.kill('SIGKILL'), farewellMs).unref();
  }

  /** What it has printed since this was last asked. */
  private takeNews(): string {
    const news = this.said.slice(this.shownLength);
    this.shownLength = this.said.length;
    return news;
  }

  /** Settles when the control socket is there, which is when the login is over. */
  private async awaitLogin(questions: OpensshQuestions, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      let silentMs = 0;
      const stop = () => {
        clearInterval(timer);
        watcher?.close();
        signal.removeEventListener('abort', onAbort);
      };
      const look = () => {
        if (!existsSync(this.socket)) return;
        stop();
        resolve();
      };
      const fail = (error: Error) => {
        stop();
        reject(error);
      };
      const onAbort = () => {
        fail(interrupted());
      };
      // Sooner than the clock, where the system still has a watch to give.
      const watcher = tryWatch(this.directory, look);
      const timer = setInterval(() => {
        look();
        // The clock stands still while a person is being asked.
        silentMs = questions.isAsking ? 0 : silentMs + lookIntervalMs;
        if (silentMs > silenceLimitMs || questions.failure !== undefined) fail(failedToLogIn);
      }, lookIntervalMs);
      signal.addEventListener('abort', onAbort, { once: true });
      void this.closed.then(() => {
        fail(failedToLogIn);
      });
      look();
    });
  }
}

const failedToLogIn = new Error('ssh has not logged in');

/** Undefined where a user's watches are used up: whoever asks looks from time to time anyway. */
function tryWatch(directory: string, onChange: () => void): FSWatcher | undefined {
  try {
    return watch(directory, onChange).on('error', () => undefined);
  } catch (error) {
    if (isSystemError(error, 'EMFILE') || isSystemError(error, 'ENOSPC')) return undefined;
    throw error;
  }
}

function controlSocket(directory: string): string {
  return join(directory, 'master');
}
