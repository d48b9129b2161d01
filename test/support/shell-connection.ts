import { spawn } from 'node:child_process';
import { HpcrunError, interrupted } from '../../src/errors.js';
import type { Connection, RemoteResult, RunOptions, StreamOptions } from '../../src/ssh/connection.js';
import { ScriptInput } from '../../src/ssh/script-input.js';

/**
 * A connection whose far side is a shell of this machine: for what scripts do, not for how they get there. When the signal is
 * given, the script's input and output end, as they do when a connection breaks.
 */
export class ShellConnection implements Connection {
  readonly description = 'this machine';
  readonly closed = new Promise<void>(() => undefined);
  /** How many scripts have been run. */
  scripts = 0;

  constructor(private readonly options: { shell?: string; env?: Record<string, string> } = {}) {}

  async run(script: string, options: RunOptions): Promise<RemoteResult> {
    const chunks: Buffer[] = [];
    const onStdout = (chunk: Buffer) => {
      chunks.push(chunk);
    };
    const result = await this.stream(script, { ...options, onStdout });
    return { ...result, stdout: Buffer.concat(chunks) };
  }

  async stream(script: string, { stdin, signal, onStdout }: StreamOptions): Promise<Omit<RemoteResult, 'stdout'>> {
    if (signal.aborted) throw interrupted();
    this.scripts += 1;
    const child = spawn(this.options.shell ?? '/bin/sh', ['-c', script], {
      env: { PATH: process.env.PATH ?? '/usr/bin:/bin', HOME: '/nonexistent', ...this.options.env },
    });
    const onAbort = () => {
      child.stdin.destroy();
      child.stdout.destroy();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const hasEnded = () => signal.aborted;
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdout.on('data', (chunk: Buffer) => void onStdout(chunk));
    const exited = new Promise<number>((resolve) => {
      child.once('exit', (code) => {
        resolve(code ?? 128);
      });
    });
    // The script does not have to read all of its input: its end tells how it went.
    child.stdin.on('error', () => undefined);
    const input = new ScriptInput(stdin);
    input.commit();
    const sent = input.send(child.stdin).catch((error: unknown) => {
      if (hasEnded()) return;
      child.kill();
      throw error;
    });
    const [exitCode] = await Promise.all([exited, sent]).finally(() => void input.close());
    signal.removeEventListener('abort', onAbort);
    if (hasEnded()) throw new HpcrunError('CONNECTION_LOST', 'the connection broke');
    return { exitCode, stderr };
  }

  close(): void {
    this.scripts = 0;
  }
}
